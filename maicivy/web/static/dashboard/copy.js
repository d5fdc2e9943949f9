// Putting text on the clipboard, also where the page has no secure origin.

import { say } from "./dom.js";
import { t } from "./texts.js";

const SHOWN_MS = 2000;

/** Copy `text`; `button` says for a while that it is done. */
export async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    byHand(text);
  }
  button.textContent = t("copied");
  say(t("copied"));
  button.disabled = true;
  setTimeout(() => {
    button.textContent = t(button.dataset.t ?? "copy");
    button.disabled = false;
  }, SHOWN_MS);
}

function byHand(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "hidden";
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

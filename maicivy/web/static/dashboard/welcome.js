// What a newcomer is told, with lines to paste.

import { copy } from "./copy.js";
import { byId, fill, h, settings } from "./dom.js";
import { t } from "./texts.js";

/** A line of code with a button that copies it. */
export function snippet(text) {
  const button = h("button", { type: "button", className: "quiet small" }, t("copy"));
  button.addEventListener("click", () => copy(text, button));
  return h("div", { className: "snippet" }, h("code", { tabIndex: 0 }, text), button);
}

/** Show or hide the welcome. */
export function welcome(wanted) {
  const section = byId("welcome");
  section.hidden = !wanted;
  if (!wanted) return;
  const line = `<script defer src="${location.origin}${settings.script}"></script>`;
  fill(
    section.querySelector("[data-body]"),
    h("ol", {},
      h("li", {}, h("p", {}, t("welcome_paste")), snippet(line), settings.served && h("p", { className: "soft" }, t("welcome_served"))),
      h("li", {}, h("p", {}, t("welcome_then"))),
      h("li", {}, h("p", {}, t("welcome_demo")), snippet("run.py demo"))),
  );
}

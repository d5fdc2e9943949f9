// The words, in the language that was chosen.

import en from "./texts.en.js";
import fr from "./texts.fr.js";

const ALL = { en, fr };
let lang = document.documentElement.lang;

/** The language that is shown: `en` or `fr`. */
export const language = () => lang;

/** The language tag for numbers and dates: the reader's own variety where it has the language of the texts. */
export const locale = () => navigator.languages.find((one) => one.slice(0, 2).toLowerCase() === lang) ?? lang;

/** Choose `auto` (what the browser prefers), `en` or `fr`. */
export function choose(wanted) {
  const own = navigator.languages.find((one) => /^(en|fr)\b/i.test(one)) ?? "en";
  lang = wanted in ALL ? wanted : own.slice(0, 2).toLowerCase();
  document.documentElement.lang = lang;
}

/** The text `key`, with `{name}` replaced; one that has `one` and `other` goes by `values.n`. */
export function t(key, values = {}) {
  let text = ALL[lang][key] ?? en[key] ?? key;
  if (typeof text === "object") text = text[new Intl.PluralRules(lang).select(values.n)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Whether there is a text `key`. */
export const has = (key) => key in en;

/** Write the texts into what has `data-t`. */
export function write() {
  for (const one of document.querySelectorAll("[data-t]")) one.textContent = t(one.dataset.t);
  delete document.documentElement.dataset.waiting;
}

// A page of the site as a picture: its own HTML without scripts, in a frame that can do nothing.

import { pageSource } from "./api.js";
import { h, settings } from "./dom.js";

const GONE = "script, noscript, iframe, object, embed, base, meta[http-equiv], link:not([rel~=stylesheet])";
const PATIENCE_MS = 5000;

/** The page at `path` as `mount` takes it, or null where the site is served elsewhere or has no such page. */
export async function picture(path, signal) {
  if (!settings.served || !path.startsWith("/") || path.startsWith("//")) return null;
  const source = await pageSource(path, signal).catch(() => null);
  if (source === null) return null;
  const page = new DOMParser().parseFromString(source, "text/html");
  const styles = strip(page);
  page.head.prepend(Object.assign(page.createElement("base"), { href: path }));
  return { text: `<!doctype html>${page.documentElement.outerHTML}`, styles };
}

/** A frame with a picture in it; resolves once it is in the page and laid out. */
export function mount({ text, styles }, place, props) {
  const frame = h("iframe", { tabIndex: -1, attrs: { sandbox: "allow-same-origin", scrolling: "no" }, ...props });
  return new Promise((done) => {
    frame.addEventListener("load", () => {
      dress(frame.contentDocument, styles);
      done(frame);
    }, { once: true });
    setTimeout(() => done(frame), PATIENCE_MS);
    frame.srcdoc = text;
    place.prepend(frame);
  });
}

/** Take out what would run, call others or break the policy; return the style sheets that stood in the page. */
function strip(page) {
  for (const one of page.querySelectorAll(GONE)) one.remove();
  const styles = { sheets: [], rules: [] };
  for (const one of page.querySelectorAll("style")) {
    styles.sheets.push(one.textContent);
    one.remove();
  }
  for (const one of page.querySelectorAll("*")) {
    for (const { name } of [...one.attributes]) if (name.startsWith("on") || name === "srcset" || name === "autoplay") one.removeAttribute(name);
    if (one.hasAttribute("style")) {
      one.dataset.maicivyStyle = styles.rules.push(one.getAttribute("style")) - 1;
      one.removeAttribute("style");
    }
    for (const name of ["src", "href", "poster"]) if (isElsewhere(one, name)) one.removeAttribute(name);
  }
  return styles;
}

/** Whether an element would load something from another host. */
function isElsewhere(one, name) {
  if (!one.hasAttribute(name) || one.localName === "a") return false;
  const url = new URL(one.getAttribute(name), location.origin);
  return url.origin !== location.origin && url.protocol !== "data:";
}

/** Give the page its own styles back by the way that the policy allows. */
function dress(page, { sheets, rules }) {
  page.adoptedStyleSheets = sheets.map((text) => {
    const sheet = new page.defaultView.CSSStyleSheet();
    sheet.replaceSync(text);
    return sheet;
  });
  for (const one of page.querySelectorAll("[data-maicivy-style]")) one.style.cssText = rules[one.dataset.maicivyStyle];
}

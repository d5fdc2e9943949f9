// The CV in five lights: ?theme= in the address chooses what comes first and the accent colour.

import { track } from "./track.js";

const THEMES = ["backend", "fullstack", "devops", "frontend", "data"];
const root = document.documentElement;
const links = [...document.querySelectorAll("[data-theme-link]")];
const lists = [...document.querySelectorAll("[data-sorted]")].map((list) => ({ list, items: [...list.children] }));
const title = document.title;

function themeOf(address) {
  const theme = (new URL(address).searchParams.get("theme") ?? "").toLowerCase();
  return THEMES.includes(theme) ? theme : "";
}

/** Put what matters to the theme first in every list; without a theme, everything as it was written. */
function apply(theme) {
  root.dataset.theme = theme;
  document.title = theme ? `${title} (${theme})` : title;
  for (const link of links) {
    if (link.dataset.themeLink === theme) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  for (const { list, items } of lists) {
    const matters = (item) => theme !== "" && item.dataset.for.split(" ").includes(theme);
    for (const item of items) {
      item.classList.toggle("is-on", matters(item));
      item.classList.toggle("is-off", theme !== "" && !matters(item));
    }
    list.append(...items.filter(matters), ...items.filter((item) => !matters(item)));
  }
}

function choose(click) {
  // A click meant for a new tab or window is the browser's; the server will count that page.
  if (click.button !== 0 || click.metaKey || click.ctrlKey || click.shiftKey || click.altKey) return;
  click.preventDefault();
  const theme = click.currentTarget.dataset.themeLink;
  if (theme === root.dataset.theme) return;
  history.pushState(null, "", click.currentTarget.href);
  apply(theme);
  if (theme) track("cv_theme_change", { theme });
}

for (const link of links) link.addEventListener("click", choose);
window.addEventListener("popstate", () => apply(themeOf(location.href))); // going back is not a new view
document.getElementById("download").addEventListener("click", () => track("pdf_download", { file: "cv.pdf" }));

apply(themeOf(location.href));

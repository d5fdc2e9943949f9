// Elements, made and found. Nothing here reads HTML from a string, so nothing that is shown can be code.

/** Return the element with this id. */
export const byId = (id) => document.getElementById(id);

/**
 * Make an element. `props` are properties; `data`, `aria` and `on` hold objects, `attrs` plain attributes.
 * Children that are null, undefined or false are left out.
 */
export function h(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  const { data = {}, aria = {}, on = {}, attrs = {}, ...plain } = props;
  Object.assign(made, plain);
  Object.assign(made.dataset, data);
  for (const [name, value] of Object.entries(aria)) made.setAttribute(`aria-${name}`, value);
  for (const [name, value] of Object.entries(attrs)) made.setAttribute(name, value);
  for (const [name, listener] of Object.entries(on)) made.addEventListener(name, listener);
  made.append(...children.flat().filter((child) => child != null && child !== false));
  return made;
}

/** Text for screen readers only. */
export const unseen = (text) => h("span", { className: "hidden" }, text);

/** Put `children` into `place`; what had the focus there (by its `data-key`) has it again. */
export function fill(place, ...children) {
  const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  place.replaceChildren(...children.flat().filter((child) => child != null && child !== false));
  if (key != null) place.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

/** Say something to screen readers, politely. */
export function say(text) {
  byId("said").textContent = text;
}

/** What the server told this page when it was made. */
export const settings = JSON.parse(document.querySelector("meta[name=maicivy]").content);

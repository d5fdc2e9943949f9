// What is looked at, and its address. Everything that can be chosen is in the URL, defaults left out.

export const FILTERS = ["path", "source", "device", "browser", "os", "event_type", "theme", "profile"];
export const METRICS = ["visitors", "visits", "page_views", "events", "letters"];
export const WIDTHS = { all: {}, phone: { max_width: 575 }, tablet: { min_width: 576, max_width: 991 }, desktop: { min_width: 992 } };

const CHOICES = {
  period: ["day", "yesterday", "7d", "30d", "month", "custom"],
  compare: ["previous", "none"],
  metric: METRICS,
  pages: ["all", "entries", "exits"],
  sources: ["source", "utm_source", "utm_medium", "utm_campaign"],
  devices: ["browser", "os", "device", "language", "screen"],
  lang: ["auto", "en", "fr"],
  appearance: ["auto", "light", "dark"],
  heat_width: Object.keys(WIDTHS),
  heat_hours: ["168", "1", "24", "72"],
};
const DATE = /^\d{4}-\d\d-\d\d$/;

/** Read a view from a query string; what makes no sense becomes the default (the first choice). */
export function parse(search) {
  const asked = new URLSearchParams(search);
  const view = { from: "", to: "", heat_page: asked.get("heat_page") ?? "", filters: {} };
  for (const [name, choices] of Object.entries(CHOICES)) {
    view[name] = choices.includes(asked.get(name)) ? asked.get(name) : choices[0];
  }
  for (const name of FILTERS) if (asked.get(name)) view.filters[name] = asked.get(name);
  if (view.period === "custom") {
    [view.from, view.to] = [asked.get("from") ?? "", asked.get("to") ?? ""];
    if (!DATE.test(view.from) || !DATE.test(view.to) || view.from > view.to) Object.assign(view, { period: "day", from: "", to: "" });
  }
  return view;
}

/** Write a view as a query string, "" for the default one. */
export function print(view) {
  const said = new URLSearchParams();
  for (const [name, choices] of Object.entries(CHOICES)) if (view[name] !== choices[0]) said.set(name, view[name]);
  if (view.period === "custom") for (const name of ["from", "to"]) said.set(name, view[name]);
  for (const name of FILTERS) if (view.filters[name]) said.set(name, view.filters[name]);
  if (view.heat_page) said.set("heat_page", view.heat_page);
  const text = said.toString().replaceAll("%2F", "/");
  return text && `?${text}`;
}

let current = parse(location.search);
const listeners = [];

/** The view that is shown. */
export const view = () => current;

/** Call `listener(view, before)` after each change of the view. */
export const onChange = (listener) => listeners.push(listener);

/** Change the view and its address; the browser's back button undoes it. */
export function change(part) {
  move({ ...current, ...part });
}

/** Narrow everything to `value`, or no longer when it is that already (or null). */
export function filter(name, value) {
  const { [name]: old, ...rest } = current.filters;
  move({ ...current, filters: value == null || old === value ? rest : { ...rest, [name]: value } });
}

function move(next) {
  const address = location.pathname + print(next);
  if (address === location.pathname + location.search) return;
  history.pushState(null, "", address);
  tell(next);
}

function tell(next) {
  const before = current;
  current = next;
  for (const listener of listeners) listener(next, before);
}

addEventListener("popstate", () => tell(parse(location.search)));

// Tables with bars of proportion, whose rows narrow everything else.

import { csvAddress } from "./api.js";
import { h, unseen } from "./dom.js";
import { t } from "./texts.js";
import { filter, view } from "./state.js";

/**
 * A table. `columns` are `[title, row => text]`, the first being the row's name; `size(row)` is the length
 * of its bar; `pick(row)` is `[filter, value]`, or null for a row that cannot be chosen.
 */
export function table({ caption, columns, rows, size, pick = () => null, extra = () => null, after = () => null }) {
  const largest = Math.max(1, ...rows.map(size));
  const head = h("tr", {}, columns.map(([title], at) => h("th", { scope: "col", className: at ? "num" : "" }, title)));
  const body = rows.flatMap((row) => [line(row, { columns, largest, size, pick, extra }), after(row)]);
  return h("table", {}, h("caption", { className: "hidden" }, caption), h("thead", {}, head), h("tbody", {}, body));
}

function line(row, { columns, largest, size, pick, extra }) {
  const [[, name], ...numbers] = columns;
  const bar = h("span", { className: "bar-fill", aria: { hidden: "true" } });
  bar.style.inlineSize = `${(100 * size(row)) / largest}%`;
  const first = h("th", { scope: "row" }, bar, h("span", { className: "cell" }, choice(name(row), pick(row)), extra(row)));
  return h("tr", {}, first, numbers.map(([, text]) => h("td", { className: "num" }, text(row))));
}

function choice(text, picked) {
  if (!picked) return h("span", { className: "name", title: text }, text);
  const [by, value] = picked;
  const on = view().filters[by] === value;
  return h("button", {
    type: "button", className: "name", title: t("filter_by", { name: text }),
    data: { key: `${by}=${value}` }, aria: { pressed: String(on) }, on: { click: () => filter(by, value) },
  }, text);
}

/** Tabs over a list: real ones, moved through with the arrow keys. */
export function tabs({ id, names, chosen, onChoose }) {
  const choose = (at) => {
    const name = names[(at + names.length) % names.length];
    onChoose(name);
    document.getElementById(`${id}-tab-${name}`).focus();
  };
  return h("div", { className: "tabs", attrs: { role: "tablist" }, aria: { labelledby: `${id}-title` } }, names.map((name, at) => h("button", {
    type: "button", id: `${id}-tab-${name}`, tabIndex: name === chosen ? 0 : -1, attrs: { role: "tab" }, data: { key: `tab ${name}` },
    aria: { selected: String(name === chosen), controls: `${id}-panel` },
    on: {
      click: () => choose(at),
      keydown: (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (step) choose(at + step);
      },
    },
  }, t(`tab_${name}`))));
}

/** What stands under a list: more of it, and the way to have it as a file. */
export function footer({ name, title, more, expanded, onMore, parameters }) {
  const button = more && h("button", {
    type: "button", className: "quiet small", data: { key: "more" }, aria: { expanded: String(expanded) }, on: { click: onMore },
  }, t(expanded ? "less" : "more"));
  const csv = h("a", { href: csvAddress(name, view(), parameters), className: "csv", attrs: { download: `${name.replaceAll("/", "-")}.csv` } },
    unseen(t("csv_of", { name: title })), h("span", { aria: { hidden: "true" } }, t("csv")));
  return h("p", { className: "under" }, button || h("span"), csv);
}

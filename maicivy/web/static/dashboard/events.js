// Events by name, and the properties of one of them.

import { api } from "./api.js";
import { Card, empty } from "./card.js";
import { h } from "./dom.js";
import { label, number } from "./format.js";
import { view as current } from "./state.js";
import { fold, rowsOf } from "./lists.js";
import { table } from "./table.js";
import { t } from "./texts.js";
import { snippet } from "./welcome.js";

const MARKED = '<button data-maicivy-event="signup">…</button>';
let open = null; // the event whose properties are shown
let property = null;

async function properties(view, signal) {
  const { data: names } = await api.properties(view, open, null, signal);
  const known = names.map((one) => one.property).filter((one) => one !== "(other)");
  const chosen = known.includes(property) ? property : known[0];
  const values = chosen === undefined ? [] : (await api.properties(view, open, chosen, signal)).data;
  return { name: open, known, chosen, values };
}

export function events() {
  const card = new Card("events", {
    ask: async (view, signal) => {
      const list = await rowsOf("events", (more) => api.events(view, signal, more));
      return { ...list, opened: open && list.rows.some((row) => row.name === open) ? await properties(view, signal) : null };
    },
    show: (answer, view) => {
      if (!answer.rows.length) {
        const filtered = Object.keys(view.filters).length > 0;
        return filtered ? empty(t("none_filtered")) : empty(t("none_events"), snippet(MARKED));
      }
      const { rows, foot } = fold(() => card, "events", answer, { name: "events", title: t("events_title") });
      return [list(card, rows, answer.opened), foot];
    },
  });
  return card;
}

function list(card, rows, opened) {
  return table({
    caption: t("events_title"),
    columns: [
      [t("event"), (row) => label("event", row.name)],
      [t("short_visitors"), (row) => number(row.visitors)],
      [t("count"), (row) => number(row.events)],
    ],
    rows,
    size: (row) => row.events,
    pick: (row) => (row.name === "(other)" ? null : ["event_type", row.name]),
    extra: (row) => row.name !== "(other)" && opener(card, row.name),
    after: (row) => opened?.name === row.name && detail(card, opened),
  });
}

function opener(card, name) {
  const turn = () => {
    [open, property] = [open === name ? null : name, null];
    card.load(current());
  };
  return h("button", {
    type: "button", className: "opener", title: t("properties_of", { name }), data: { key: `open ${name}` },
    aria: { expanded: String(open === name), label: t("properties_of", { name }) }, on: { click: turn },
  });
}

function detail(card, { name, known, chosen, values }) {
  const choose = (one) => () => {
    property = one;
    card.load(current());
  };
  const buttons = known.map((one) => h("button", {
    type: "button", className: "quiet small", data: { key: `property ${one}` }, aria: { pressed: String(one === chosen) }, on: { click: choose(one) },
  }, one));
  const inside = known.length
    ? [h("p", { className: "choices" }, buttons), table({
      caption: t("properties_of", { name }),
      columns: [[chosen, (row) => label("value", String(row.value))], [t("short_visitors"), (row) => number(row.visitors)], [t("count"), (row) => number(row.events)]],
      rows: values,
      size: (row) => row.events,
    })]
    : [h("p", {}, t("no_properties"))];
  return h("tr", { className: "detail" }, h("td", { colSpan: 3 }, inside));
}

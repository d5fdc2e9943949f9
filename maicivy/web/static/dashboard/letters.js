// Letters: how many of each kind, and how many each day.

import { api } from "./api.js";
import { Card, empty } from "./card.js";
import { range } from "./dates.js";
import { h } from "./dom.js";
import { day, label, number } from "./format.js";
import { change } from "./state.js";
import { table } from "./table.js";
import { has, t } from "./texts.js";
import { snippet } from "./welcome.js";

const TELL = 'maicivy("letter_generate", { letter_type: "motivation" })';
const EVENT = "letter_generate";

/** Kinds and days of a view. Open periods without filters have an answer of their own. */
async function ask(view, signal) {
  if (["day", "month"].includes(view.period) && !Object.keys(view.filters).length) {
    const { data } = await api.letters(view, signal);
    const kinds = [["motivation", data.motivation], ["anti_motivation", data.anti_motivation]];
    return { total: data.total, kinds, days: data.history.map(({ date, count }) => [date, count]) };
  }
  const { data: series } = await api.series({ ...view, compare: "none" }, signal, "letters", { interval: "day" });
  const total = series.reduce((sum, { value }) => sum + value, 0);
  const days = series.map(({ start, value }) => [start.slice(0, 10), value]);
  if (!total) return { total, kinds: [], days };
  const { data: values } = await api.properties(view, EVENT, "letter_type", signal);
  return { total, kinds: values.map((row) => [row.value, row.events]), days };
}

function show({ total, kinds, days }, view) {
  if (!total) {
    const filtered = Object.keys(view.filters).length > 0;
    return filtered ? empty(t("none_filtered")) : empty(t("none_letters"), snippet(TELL));
  }
  const [from, to] = range(view);
  const byDay = days.filter(([date, count]) => count && date >= from && date <= to).reverse();
  return [
    kinds.length > 0 && table({
      caption: t("letters"),
      columns: [[t("kind"), ([kind]) => (has(kind) ? t(kind) : label("kind", kind))], [t("count"), ([, count]) => number(count)]],
      rows: kinds,
      size: ([, count]) => count,
      pick: ([kind]) => (kind === "(other)" ? null : ["event_type", EVENT]),
    }),
    h("div", { className: "days", tabIndex: 0, attrs: { role: "region" }, aria: { label: t("per_day") } }, dayTable(byDay)),
  ];
}

function dayTable(rows) {
  const made = table({
    caption: t("per_day"),
    columns: [[t("day"), ([date]) => day(date)], [t("count"), ([, count]) => number(count)]],
    rows,
    size: ([, count]) => count,
  });
  made.querySelectorAll("tbody .name").forEach((name, at) => name.replaceWith(dayButton(rows[at][0])));
  return made;
}

const dayButton = (date) => h("button", {
  type: "button", className: "name", title: t("filter_by", { name: day(date) }), data: { key: `day ${date}` },
  on: { click: () => change({ period: "custom", from: date, to: date }) },
}, day(date));

export const letters = () => new Card("letters", { ask, show });

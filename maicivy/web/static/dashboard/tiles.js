// The headline numbers, each with its change; those that have a curve choose it.

import { api } from "./api.js";
import { Card } from "./card.js";
import { h, unseen } from "./dom.js";
import { duration, number, percent } from "./format.js";
import { METRICS, change } from "./state.js";
import { t } from "./texts.js";

// Name, how it is written, and whether more is better.
const TILES = [
  ["visitors", number, true],
  ["visits", number, true],
  ["page_views", number, true],
  ["events", number, true],
  ["letters", number, true],
  ["conversion_rate", percent, true],
  ["bounce_rate", percent, false],
  ["mean_duration_seconds", duration, true],
];

export const tiles = () => new Card("tiles", {
  every: 1000,
  ask: api.summary,
  show: ({ data, meta }, view) => {
    // Before the first event there is nothing to compare with.
    const before = data.previous?.events ? data.previous : null;
    return TILES.map((one) => tile(one, { ...data, previous: before }, meta, view));
  },
  skeleton: () => TILES.map(() => h("div", { className: "tile" }, h("div", { className: "bone bone-3" }), h("div", { className: "bone bone-tall" }))),
});

function tile([name, write, better], data, meta, view) {
  const value = data[name];
  const estimated = name === "visitors" && meta.exact === false;
  const shown = h("span", { className: "value num", data: { number: name } }, estimated && about(meta.error), value == null ? "–" : write(value));
  const inside = [h("span", { className: "label" }, t(name)), shown, data.previous && delta(value, data.previous[name], { write, better, until: meta.compare?.until })];
  if (!METRICS.includes(name)) return h("div", { className: "tile" }, inside);
  return h("button", {
    type: "button", className: "tile", data: { key: name }, aria: { pressed: String(view.metric === name) }, on: { click: () => change({ metric: name }) },
  }, inside);
}

function about(error) {
  const words = t("approximate", { error: percent(error) });
  return h("span", { className: "about", title: words }, h("span", { aria: { hidden: "true" } }, "≈"), unseen(` ${words} `));
}

/** The change from before: an arrow, a share, and in words for who cannot see them. */
function delta(value, before, { write, better, until }) {
  if (value == null || before == null) return h("span", { className: "delta" }, "\u00a0");
  // what is written as 0% is no change
  const way = Math.abs(value - before) < 0.005 * before ? 0 : Math.sign(value - before);
  const said = way === 0 ? percent(0, 0) : before === 0 ? t("new_number") : percent(Math.abs(value - before) / before, 0);
  const compared = t(["down_from", "same_as", "up_from"][way + 1], { change: said, before: write(before) });
  const words = until ? `${compared}. ${t("so_far")}` : compared;
  const mood = way === 0 ? "same" : way > 0 === better ? "good" : "bad";
  return h("span", { className: `delta ${mood}`, title: words },
    h("span", { aria: { hidden: "true" } }, before === 0 && way ? said : `${["↓", "→", "↑"][way + 1]} ${said}`), unseen(words));
}

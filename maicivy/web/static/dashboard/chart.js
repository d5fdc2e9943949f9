// The curve of the chosen number, and the same as a table.

import { api } from "./api.js";
import { Card, empty } from "./card.js";
import { local, now } from "./dates.js";
import { byId, fill, h } from "./dom.js";
import { bucket, number, percent, short, tick } from "./format.js";
import { locale, t } from "./texts.js";

const DAY = 86_400;
const STEPS = {
  hour: [3600, 7200, 10_800, 21_600, 43_200, DAY, 2 * DAY],
  day: [1, 2, 3, 7, 14, 28, 56, 112].map((days) => days * DAY),
  week: [7, 14, 28, 56, 112].map((days) => days * DAY),
  month: [30, 91, 182, 365].map((days) => days * DAY),
};
const WHOLE = [1, 2, 5].flatMap((one) => Array.from({ length: 10 }, (_, at) => one * 10 ** at)).sort((a, b) => a - b);
const LABEL_PX = 72;

let plot = null;
let drawn = "";
const place = h("div", { className: "plot", attrs: { role: "img" } });
const tip = h("div", { className: "tip", hidden: true, aria: { hidden: "true" } });
let tell = () => null;
const details = h("details", { className: "as-table", on: { toggle: () => tell() } });
new ResizeObserver(() => plot?.setSize(sizeOf())).observe(place);

export const chart = () => new Card("chart", {
  every: 1000,
  ask: api.series,
  show,
  skeleton: () => h("div", { className: "bone bone-chart" }),
});

/** Draw anew in other colours. */
export function repaint() {
  drawn = "";
}

function show({ data, meta }, view) {
  byId("chart-title").textContent = t(view.metric);
  const compared = data.some((row) => row.previous);
  fill(byId("legend"), compared && [key("now", t("current")), key("before", t("previous"))]);
  tell = () => fill(details, h("summary", {}, t("show_table")), details.open && rows(data, meta, compared));
  tell();
  if (!data.length) return empty(t("no_series"));
  place.setAttribute("aria-label", `${t(view.metric)}: ${number(data.reduce((sum, row) => sum + row.value, 0))}`);
  requestAnimationFrame(() => draw(data, meta, view));
  return [place, details];
}

const key = (kind, text) => h("span", { className: `key key-${kind}` }, text);

function rows(data, meta, compared) {
  const head = h("tr", {}, [t("when"), t("current"), compared && t("previous")].filter(Boolean).map((text, at) => h("th", { scope: "col", className: at ? "num" : "" }, text)));
  const body = data.map((row) => h("tr", {}, h("th", { scope: "row" }, bucket(Date.parse(row.start), meta.interval)),
    h("td", { className: "num" }, number(row.value)), compared && h("td", { className: "num" }, row.previous == null ? "–" : number(row.previous))));
  const inside = h("table", {}, h("caption", { className: "hidden" }, byId("chart-title").textContent), h("thead", {}, head), h("tbody", {}, body));
  return h("div", { className: "scroll", tabIndex: 0, attrs: { role: "region" }, aria: { label: t("show_table") } }, inside);
}

/** Seconds, values and previous values; what is still to come has no value. */
function columns(data) {
  const compared = data.some((row) => row.previous);
  const at = data.map((row) => Date.parse(row.start) / 1000);
  const last = now() / 1000;
  return [at, data.map((row) => (compared ? row.previous : null)), data.map((row, index) => (at[index] > last ? null : row.value))];
}

function draw(data, meta, view) {
  if (!place.isConnected) return;
  const shape = [view.metric, meta.interval, data.length, data[0].start, locale(), document.documentElement.dataset.appearance].join();
  if (plot && shape === drawn) return plot.setData(columns(data));
  plot?.destroy();
  drawn = shape;
  plot = new uPlot(options(meta.interval ?? "day", data.length), columns(data), place);
}

const sizeOf = () => ({ width: Math.max(200, place.clientWidth), height: Math.max(160, place.clientHeight) });

/** A colour of the style sheet as the canvas takes it. */
function colour(name, alpha = 1) {
  const probe = h("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return alpha === 1 ? found : found.replace("rgb(", "rgba(").replace(")", `, ${alpha})`);
}

function options(interval, length) {
  const soft = colour("soft");
  const axis = { stroke: soft, font: `12px ${getComputedStyle(document.body).fontFamily}`, ticks: { show: false } };
  const grid = { stroke: colour("line"), width: 1 };
  return {
    ...sizeOf(),
    padding: [12, 24, 0, 0],
    legend: { show: false },
    tzDate: (seconds) => local(seconds * 1000),
    scales: { y: { range: (_, least, most) => [0, Math.max(4, (most ?? 0) * 1.08)] } },
    axes: [
      { ...axis, grid: { show: false }, size: 32, space: LABEL_PX, incrs: STEPS[interval] ?? STEPS.day, values: (_, splits, at, space, step) => splits.map((split) => axisLabel(split * 1000, interval, step)) },
      { ...axis, grid, size: 48, incrs: WHOLE, values: (_, splits) => splits.map(short) },
    ],
    series: [
      {},
      { stroke: soft, width: 1.5, dash: [4, 4], points: { show: false } },
      { stroke: colour("accent"), width: 2, fill: colour("accent", 0.09), points: { show: length < 2, size: 6 } },
    ],
    cursor: { drag: { x: false, y: false }, y: false, points: { size: 8 } },
    hooks: { setCursor: [hover(interval)], ready: [(made) => made.over.append(tip)] },
  };
}

/** Hours show their day at midnight. */
function axisLabel(instant, interval, step) {
  const isDay = interval === "hour" && (step >= DAY || (local(instant).getHours() === 0 && step > 7200));
  return tick(instant, isDay ? "day" : interval);
}

function hover(interval) {
  return (made) => {
    const { idx, left } = made.cursor;
    tip.hidden = idx == null || left < 0;
    if (tip.hidden) return;
    const [at, before, value] = made.data.map((column) => column[idx]);
    fill(tip, h("strong", {}, bucket(at * 1000, interval)), line("now", value), line("before", before, value));
    const room = made.over.clientWidth - tip.offsetWidth - 8;
    const x = left + 16 > room ? left - tip.offsetWidth - 16 : left + 16;
    tip.style.transform = `translate(${Math.max(0, Math.min(x, room))}px, 8px)`;
  };
}

function line(kind, value, compared) {
  if (value == null) return null;
  const grown = compared != null && value > 0 ? ` (${compared >= value ? "+" : "−"}${percent(Math.abs(compared - value) / value, 0)})` : "";
  return h("span", { className: `key key-${kind}` }, number(value) + grown);
}

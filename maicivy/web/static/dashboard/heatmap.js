// Where visitors click, drawn over the page.

import { api } from "./api.js";
import { Card } from "./card.js";
import { byId, fill, h } from "./dom.js";
import { mount, picture } from "./frame.js";
import { number } from "./format.js";
import { topPaths } from "./lists.js";
import { change, view as current } from "./state.js";
import { t } from "./texts.js";

const VIEWPORTS = { all: 1280, phone: 390, tablet: 820, desktop: 1280 };
const RADIUS = 26;
const LOWEST = 640;
const HIGHEST = 12_000;
const FAINTEST = 0.12;
const LISTED = 10;
// From few to many: dark violet, magenta, orange, yellow; told apart by lightness alone, too.
const SCALE = [[0, 75, 15, 110], [0.4, 190, 40, 100], [0.7, 245, 125, 20], [1, 252, 240, 120]];

let framed = null; // the page that is pictured: {key, frame}

export const heatmap = () => new Card("heatmap", {
  every: 15_000,
  ask,
  show,
  lazy: true,
  skeleton: () => h("div", { className: "bone bone-heat" }),
});

async function ask(view, signal) {
  const paths = await topPaths();
  const page = view.heat_page || view.filters.path || paths.find((path) => path.startsWith("/")) || "/";
  const { data } = await api.heatmap(view, page, signal);
  return { page, points: data, paths: [...new Set([page, ...paths.filter((path) => path.startsWith("/"))])].slice(0, 50) };
}

function show({ page, points, paths }, view) {
  controls(page, paths, view);
  const total = points.reduce((sum, point) => sum + point.count, 0);
  const clicks = t("clicks", { n: total }).replace(String(total), number(total));
  const canvas = h("canvas", { attrs: { role: "img" }, aria: { label: t("heat_label", { page, clicks }) } });
  const stage = h("div", { className: "stage" }, canvas);
  const scroll = h("div", { className: "heat-scroll", tabIndex: 0, attrs: { role: "region" }, aria: { label: t("heat_frame", { page }) } }, stage);
  const note = total ? [h("strong", {}, clicks)] : [t("none_heatmap"), " ", t("heat_hint")];
  requestAnimationFrame(() => paint({ page, points, view, stage, canvas, scroll }));
  return [h("div", { className: "heat-body" }, scroll, h("div", { className: "heat-side" }, h("p", {}, note), total > 0 && places(points)))];
}

function controls(page, paths, view) {
  const options = paths.map((path) => h("option", { value: path }, path));
  fill(byId("heat-page"), options);
  byId("heat-page").value = page;
  byId("heat-width").value = view.heat_width;
  byId("heat-hours").value = view.heat_hours;
}

byId("heat-controls").addEventListener("change", ({ target }) => change({ [`heat_${target.name}`]: target.value }));
byId("heat-controls").addEventListener("submit", (event) => event.preventDefault());

function places(points) {
  const head = [t("from_left"), t("from_top"), t("clicks_title")].map((text) => h("th", { scope: "col", className: "num" }, text));
  const rows = points.slice(0, LISTED).map(({ x, y, count }) => h("tr", {}, [`${number(x)} px`, `${number(y)} px`, number(count)].map((text) => h("td", { className: "num" }, text))));
  return h("table", { className: "plain" }, h("caption", {}, t("heat_table")), h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows));
}

/** Lay the page out as wide as its visitors saw it, scaled to the room there is, and the heat over it. */
async function paint({ page, points, view, stage, canvas, scroll }) {
  const rightmost = Math.max(0, ...points.map((point) => point.x));
  const width = Math.max(VIEWPORTS[view.heat_width], view.heat_width === "all" ? Math.min(rightmost + 20, 2560) : 0);
  const lowest = Math.max(LOWEST, ...points.map((point) => point.y + 2 * RADIUS));
  const scale = Math.min(1, scroll.clientWidth / width);
  const size = (height) => {
    const high = Math.min(height, HIGHEST);
    Object.assign(stage.style, { width: `${width * scale}px`, height: `${high * scale}px` });
    heat(canvas, points, { width: Math.round(width * scale), height: Math.round(high * scale), scale });
  };
  size(lowest);
  const key = `${page} ${width}`;
  if (framed?.key !== key) framed = { key, source: await picture(page) };
  if (!framed.source || !stage.isConnected) return;
  const frame = await mount(framed.source, stage, { title: t("heat_frame", { page }), width, height: lowest });
  frame.style.transform = `scale(${scale})`;
  const high = Math.min(HIGHEST, Math.max(lowest, frame.contentDocument?.documentElement.scrollHeight ?? 0));
  frame.style.height = `${high}px`;
  if (stage.isConnected) size(high);
}

/** Draw soft dots that add up, then colour them by how much came together. */
function heat(canvas, points, { width, height, scale }) {
  Object.assign(canvas, { width, height });
  if (!points.length || !width) return;
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  const most = densest(points);
  const radius = Math.max(8, RADIUS * scale);
  for (const { x, y, count } of points) {
    const glow = brush.createRadialGradient(x * scale, y * scale, 0, x * scale, y * scale, radius);
    glow.addColorStop(0, `rgba(0, 0, 0, ${Math.max(FAINTEST, 0.9 * (count / most))})`);
    glow.addColorStop(1, "rgba(0, 0, 0, 0)");
    brush.fillStyle = glow;
    brush.fillRect(x * scale - radius, y * scale - radius, 2 * radius, 2 * radius);
  }
  const image = brush.getImageData(0, 0, width, height);
  const colours = palette();
  for (let at = 3; at < image.data.length; at += 4) {
    const strength = image.data[at];
    if (!strength) continue;
    image.data.set(colours[strength], at - 3);
    image.data[at] = Math.min(235, 1.5 * strength);
  }
  brush.putImageData(image, 0, 0);
}

/** How many clicks came together where most did. */
function densest(points) {
  const cells = new Map();
  for (const { x, y, count } of points) {
    const cell = `${Math.round(x / RADIUS)} ${Math.round(y / RADIUS)}`;
    cells.set(cell, (cells.get(cell) ?? 0) + count);
  }
  return Math.max(...cells.values());
}

let made = null;
function palette() {
  made ??= Array.from({ length: 256 }, (_, at) => {
    const share = at / 255;
    const above = Math.max(1, SCALE.findIndex(([stop]) => stop >= share));
    const [[low, ...from], [high, ...to]] = [SCALE[above - 1], SCALE[above]];
    return from.map((value, part) => Math.round(value + ((to[part] - value) * (share - low)) / (high - low)));
  });
  return made;
}

byId("heat-width").value = current().heat_width;
byId("heat-hours").value = current().heat_hours;

let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === width) return;
  width = innerWidth;
  card?.redraw(current());
});
let card = null;
/** Keep the map as wide as its room. */
export const follow = (one) => (card = one);

// Events as they arrive: bounded, pausable, announced politely.

import { api } from "./api.js";
import { byId, fill, h } from "./dom.js";
import { clock } from "./format.js";
import { has, t } from "./texts.js";

const MOST = 50;
const FIRST = 30;
const GATHER_MS = 200; // a burst becomes one change of the page

const list = h("ol");
const log = h("div", { className: "moves", tabIndex: 0, attrs: { role: "log" }, aria: { live: "polite", relevant: "additions" } }, list);
const body = byId("feed").querySelector("[data-body]");
const pause = byId("pause");
let items = []; // newest first
let waiting = [];
let timer = 0;
let paused = false;

/** Show what happened last; returns whether anything ever did. */
export async function load() {
  try {
    const { data } = await api.timeline(FIRST);
    items = data.map((one) => ({
      type: one.event_type, visitor: one.visitor_id, time: Date.parse(one.created_at), page: one.page_url, data: read(one.event_data),
    }));
    waiting = [];
    log.setAttribute("aria-live", "off"); // what was there before is not news
    draw();
    setTimeout(() => log.setAttribute("aria-live", "polite"), 1000);
    return items.length > 0;
  } catch (error) {
    if (items.length) return true;
    const retry = h("button", { type: "button", className: "quiet", on: { click: load } }, t("retry"));
    fill(body, h("div", { className: "failed", attrs: { role: "alert" } }, h("p", {}, error.status === 0 ? t("unreachable") : t("failed")), retry));
    body.setAttribute("aria-busy", "false");
    return true;
  }
}

/** An event came. */
export function add(message) {
  waiting.unshift({
    type: message.type, visitor: message.visitor_id, time: Date.parse(message.timestamp), page: message.page_url, data: message.data ?? {},
  });
  waiting.length = Math.min(waiting.length, MOST);
  if (!timer) timer = setTimeout(take, GATHER_MS);
}

/** Write everything again, in another language. */
export function draw() {
  body.setAttribute("aria-busy", "false");
  log.setAttribute("aria-label", t("feed"));
  fill(list, items.map(line));
  fill(body, items.length ? [log, h("p", { className: "soft small-text" }, t("feed_note"))] : h("p", { className: "empty" }, t("feed_empty")));
  label();
}

function take() {
  timer = 0;
  if (paused) return label();
  const fresh = waiting;
  waiting = [];
  const first = items.length === 0;
  items = [...fresh, ...items].slice(0, MOST);
  if (first) return draw();
  const lines = fresh.map((one) => {
    const made = line(one);
    made.classList.add("fresh");
    return made;
  });
  list.prepend(...lines);
  while (list.children.length > MOST) list.lastElementChild.remove();
}

function label() {
  pause.setAttribute("aria-pressed", String(paused));
  pause.textContent = !paused ? t("pause") : waiting.length ? `${t("resume")} (${waiting.length === MOST ? `${MOST}+` : waiting.length})` : t("resume");
  pause.title = paused && waiting.length ? t("held", { n: waiting.length }) : "";
}

pause.addEventListener("click", () => {
  paused = !paused;
  take();
  label();
});

function line({ type, visitor, time, page, data }) {
  const dot = h("span", { className: "who", aria: { hidden: "true" } });
  dot.style.backgroundColor = `hsl(${parseInt((visitor ?? "0").slice(0, 4), 16) % 360} 48% 56%)`;
  const words = has(`did_${type}`) ? t(`did_${type}`, { theme: data.theme ?? "" }) : type;
  const target = typeof data.href === "string" ? data.href : page;
  return h("li", {}, dot, h("span", { className: "what" }, words, " ", h("span", { className: "where", title: target || "" }, target || "")),
    h("time", { className: "num", dateTime: new Date(time).toISOString() }, clock(time)));
}

function read(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

// The whole page: which cards there are, and what moves them.

import { showBar, showNow, showState } from "./bar.js";
import { chart, repaint } from "./chart.js";
import { isOpen, today } from "./dates.js";
import { byId, say } from "./dom.js";
import { events } from "./events.js";
import * as feed from "./feed.js";
import { follow, heatmap } from "./heatmap.js";
import { letters } from "./letters.js";
import * as lists from "./lists.js";
import { Live } from "./live.js";
import { Refresher } from "./refresh.js";
import { onChange, view } from "./state.js";
import * as texts from "./texts.js";
import { tiles } from "./tiles.js";
import { welcome } from "./welcome.js";

const POLL_SECONDS = 15;
// Whatever else changes concerns every card.
const CONCERNED = { compare: ["tiles", "chart"], metric: ["chart"], sources: ["sources"], devices: ["devices"], heat_page: ["heatmap"], heat_width: ["heatmap"], heat_hours: ["heatmap"] };
const LOOKS = ["lang", "appearance", "pages", "metric"];

speak(view());
const cards = {
  tiles: tiles(), chart: chart(), pages: lists.pages(), sources: lists.sources(), devices: lists.devices(),
  events: events(), themes: lists.themes(), letters: letters(), heatmap: heatmap(),
};
follow(cards.heatmap);
const refresher = new Refresher(Object.values(cards));

function speak(shown) {
  texts.choose(shown.lang);
  texts.write();
  if (shown.appearance === "auto") delete document.documentElement.dataset.appearance;
  else document.documentElement.dataset.appearance = shown.appearance;
}

/* ---- another view ---- */

onChange((next, before) => {
  const changed = Object.keys(next).filter((name) => JSON.stringify(next[name]) !== JSON.stringify(before[name]));
  if (changed.some((name) => LOOKS.includes(name))) dress(next);
  showBar(next);
  const asking = changed.filter((name) => !LOOKS.includes(name) || name === "metric");
  const all = asking.some((name) => !(name in CONCERNED));
  const concerned = new Set(asking.flatMap((name) => CONCERNED[name] ?? []).map((name) => cards[name]));
  if (all) refresher.load(next);
  else if (concerned.size) refresher.load(next, [...concerned]);
  refresher.view = next;
});

/** Show what is there in another language, in other colours, in another order. */
function dress(next) {
  speak(next);
  repaint();
  for (const card of Object.values(cards)) card.redraw(next);
  feed.draw();
  if (!byId("welcome").hidden) welcome(true);
  if (now !== null) showNow(now);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  repaint();
  cards.chart.redraw(view());
});

/* ---- what happens meanwhile ---- */

let now = null; // visitors at this moment
let day = today();
let poll = 0;
let wasOffline = false;

const live = new Live({
  numbers(data) {
    now = data.current_visitors;
    showNow(now);
    if (day !== today()) everything();
  },
  event(message) {
    feed.add(message);
    welcome(false);
    live.refresh();
    if (isOpen(view())) refresher.touch();
  },
  state(state, retryAt) {
    clearInterval(poll);
    if (state === "polling") poll = setInterval(catchUp, POLL_SECONDS * 1000);
    showState(state, retryAt, POLL_SECONDS);
    if (state === "offline" && !wasOffline) say(texts.t("offline"));
    if (state === "live" && wasOffline) {
      say(texts.t("back"));
      everything();
    }
    wasOffline = state === "offline" || (wasOffline && state !== "live");
  },
});

function catchUp() {
  feed.load();
  if (isOpen(view())) refresher.touch();
}

/** Ask everything: at the start, on a new day, after an outage. */
async function everything() {
  day = today();
  showBar(view());
  refresher.load(view());
  welcome(!(await feed.load()));
}

byId("try").addEventListener("click", () => live.connect());
showState("connecting");
everything();
live.connect();

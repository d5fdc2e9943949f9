// The whole page: which cards there are, and what moves them.

import { showBar, showNow, showState, tellNow } from "./bar.js";
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
// What changes how answers look and asks nothing.
const LOOKS = { lang: null, appearance: ["chart"], pages: ["pages"], metric: ["tiles"] };

speak(view());
paint(view());
const cards = {
  tiles: tiles(), chart: chart(), pages: lists.pages(), sources: lists.sources(), devices: lists.devices(),
  events: events(), themes: lists.themes(), letters: letters(), heatmap: heatmap(),
};
follow(cards.heatmap);
const refresher = new Refresher(Object.values(cards));

function speak(shown) {
  texts.choose(shown.lang);
  texts.write();
}

function paint(shown) {
  if (shown.appearance === "auto") delete document.documentElement.dataset.appearance;
  else document.documentElement.dataset.appearance = shown.appearance;
}

/* ---- another view ---- */

onChange((next, before) => {
  const changed = Object.keys(next).filter((name) => JSON.stringify(next[name]) !== JSON.stringify(before[name]));
  refresher.view = next;
  dress(next, changed.filter((name) => name in LOOKS));
  showBar(next);
  const asking = changed.filter((name) => !(name in LOOKS) || name in CONCERNED);
  const all = asking.some((name) => !(name in CONCERNED));
  const concerned = new Set(asking.flatMap((name) => CONCERNED[name] ?? []).map((name) => cards[name]));
  if (all) refresher.load(next);
  else if (concerned.size) refresher.load(next, [...concerned]);
});

/** Show what is there in another language, in other colours, in another order. */
function dress(next, changed) {
  if (!changed.length) return;
  paint(next);
  if (changed.includes("lang")) speak(next);
  repaint();
  const concerned = changed.includes("lang") ? Object.keys(cards) : changed.flatMap((name) => LOOKS[name]);
  for (const name of concerned) cards[name].redraw(next);
  if (!changed.includes("lang")) return;
  feed.draw();
  if (!byId("welcome").hidden) welcome(true);
  tellNow();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  repaint();
  cards.chart.redraw(view());
});

/* ---- what happens meanwhile ---- */

let day = today();
let poll = 0;
let wasOffline = false;

const live = new Live({
  numbers(data) {
    showNow(data.current_visitors);
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

// The top bar and the chips: what can be chosen for the whole page.

import { copy } from "./copy.js";
import { range, shift, today } from "./dates.js";
import { byId, fill, h, settings } from "./dom.js";
import { clock, label, number } from "./format.js";
import { change, filter, view as current } from "./state.js";
import { t } from "./texts.js";

const LONGEST_DAYS = 400;
const controls = byId("controls");
const fields = ["period", "appearance", "lang", "from", "to"].map(byId);

/** Show the choices of a view. */
export function showBar(view) {
  byId("site").textContent = location.host;
  byId("zone").textContent = t("zone", { zone: settings.zone });
  const [from, to] = range(view);
  for (const field of fields) if (view[field.name] && field.value !== view[field.name]) field.value = view[field.name];
  byId("compare").checked = view.compare === "previous";
  byId("range").hidden = view.period !== "custom";
  for (const [id, value] of [["from", from], ["to", to]]) {
    Object.assign(byId(id), { value, min: shift(today(), 1 - LONGEST_DAYS), max: today() });
  }
  chips(view);
}

function chips(view) {
  const chosen = Object.entries(view.filters);
  const place = byId("chips");
  place.hidden = !chosen.length;
  place.setAttribute("aria-label", t("filters"));
  fill(place, chosen.map(([by, value]) => {
    const name = `${t(`filter_${by}`)}: ${label(by, value)}`;
    const remove = h("button", {
      type: "button", data: { key: by }, aria: { label: t("remove_filter", { name }) }, on: { click: () => filter(by, null) },
    }, "×");
    return h("li", { className: "chip" }, h("span", {}, h("span", { className: "soft" }, `${t(`filter_${by}`)} `), label(by, value)), remove);
  }), chosen.length > 1 && h("li", {}, h("button", { type: "button", className: "quiet small", on: { click: () => change({ filters: {} }) } }, t("clear"))));
}

controls.addEventListener("submit", (event) => event.preventDefault());
controls.addEventListener("change", ({ target }) => {
  if (target.id === "compare") return change({ compare: target.checked ? "previous" : "none" });
  if (target.id === "from" || target.id === "to") return chooseRange();
  if (target.id !== "period") return change({ [target.name]: target.value });
  const [from, to] = range(current());
  change(target.value === "custom" ? { period: "custom", from, to } : { period: target.value, from: "", to: "" });
  if (target.value === "custom") byId("from").focus();
});

/** Both dates together; one that is on the wrong side takes the other along. */
function chooseRange() {
  let [from, to] = [byId("from"), byId("to")];
  if (!from.value || !to.value || !from.validity.valid || !to.validity.valid) return;
  const moved = document.activeElement === to ? "to" : "from";
  [from, to] = [from.value, to.value];
  if (from > to) [from, to] = moved === "to" ? [to, to] : [from, from];
  change({ period: "custom", from, to });
}

// Where there is a password, an address alone opens nothing for others.
if (settings.owner) byId("share").dataset.t = "share_view";
byId("share").addEventListener("click", async ({ currentTarget }) => {
  if (!settings.owner) return copy(location.href, currentTarget);
  (await import("./sharing.js")).open();
});

byId("log-out").hidden = !settings.owner;
byId("log-out").addEventListener("click", async () => {
  await fetch("/logout", { method: "POST" });
  location.assign("/login");
});

/** What the live connection is like. */
const pill = byId("live");
let pollSeconds = 0;
let retryAt = 0;
let here = null; // visitors at this moment
let hereAt = null; // when that was so
let state = "connecting";

/** Show how many are here now. */
export function showNow(visitors) {
  [here, hereAt] = [visitors, Date.now()];
  tellNow();
}

/** Write it in the language of the page. */
export function tellNow() {
  if (here !== null) pill.dataset.visitors = here;
  const isKnown = here !== null && state !== "offline";
  byId("live-number").textContent = isKnown ? number(here) : "";
  byId("live-text").textContent = isKnown ? t("visitors_now", { n: here }) : t(state === "offline" ? "offline" : "connecting");
  document.title = isKnown ? `(${number(here)}) ${location.host} · maicivy` : `${location.host} · maicivy`;
}

/** Show the state of the connection; when it is lost, until when the numbers hold. */
export function showState(next, at, seconds) {
  state = next;
  retryAt = at ?? 0;
  pollSeconds = seconds;
  pill.dataset.state = state;
  tellNow();
  byId("notice").hidden = state === "live" || state === "connecting";
  byId("notice").dataset.state = state;
  byId("try").hidden = state !== "offline";
  countDown();
}

function countDown() {
  if (state === "polling") byId("notice-text").textContent = t("polling", { seconds: pollSeconds });
  if (state !== "offline") return;
  const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  const time = hereAt ? clock(hereAt) : "–";
  const text = t(seconds ? "offline_since" : "offline_trying", { time, seconds });
  if (byId("notice-text").textContent !== text) byId("notice-text").textContent = text;
}

setInterval(countDown, 500);

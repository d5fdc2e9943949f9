// The strip in the footer: the numbers of this moment, and what this page has told the server.

import { optedOut } from "./track.js";

const SILENCE_SECONDS = 15; // three missed heartbeats
const HIDDEN_SECONDS = 30; // a tab nobody looks at gives its connection back
const REFRESH_SECONDS = 1; // ask for fresh numbers at most this often
const FIRST_DELAY_SECONDS = 1;
const LONGEST_DELAY_SECONDS = 30;

const strip = document.getElementById("live");
const status = strip.querySelector("[data-status]");
const ledger = strip.querySelector("[data-ledger]");
const number = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

let socket = null;
let attempts = 0;
let shownAt = null; // when the numbers on the page were true
let refreshedAt = 0;
const timers = { retry: 0, silence: 0, refresh: 0, hidden: 0 };

/* ---- the connection ------------------------------------------------------------------------- */

function connect() {
  clearTimeout(timers.retry);
  if (socket) return;
  if (strip.dataset.state !== "offline") show("connecting", "Connecting…");
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}/ws/analytics`);
  socket.onmessage = (message) => receive(message.data);
  socket.onclose = lost;
  expectWord();
}

function disconnect() {
  for (const timer of Object.values(timers)) clearTimeout(timer);
  if (!socket) return;
  socket.onclose = socket.onmessage = null;
  socket.close();
  socket = null;
}

/** The connection is gone: say so, and try again later, each time later, never in step with others. */
function lost() {
  disconnect();
  const ceiling = Math.min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** attempts);
  const delay = ceiling * (0.5 + Math.random() / 2);
  attempts += 1;
  const since = shownAt ? `Offline. These numbers are from ${clock.format(shownAt)}.` : "Offline.";
  show("offline", `${since} Trying again in ${Math.max(1, Math.round(delay))} s.`);
  timers.retry = setTimeout(connect, delay * 1000);
}

/** A connection that says nothing is as good as closed. */
function expectWord() {
  clearTimeout(timers.silence);
  timers.silence = setTimeout(lost, SILENCE_SECONDS * 1000);
}

/* ---- messages ------------------------------------------------------------------------------- */

function receive(text) {
  expectWord();
  let message;
  try {
    message = JSON.parse(text);
  } catch {
    return;
  }
  if (message.type === "initial_stats" || message.type === "heartbeat") showNumbers(message.data);
  else if (message.type !== "pong" && message.type !== "error") askForNumbers();
}

/** An event came by, so the numbers changed; a burst of events asks once. */
function askForNumbers() {
  clearTimeout(timers.refresh);
  const wait = refreshedAt + REFRESH_SECONDS * 1000 - performance.now();
  if (wait > 0 && refreshedAt > 0) {
    timers.refresh = setTimeout(askForNumbers, wait);
  } else if (socket?.readyState === WebSocket.OPEN) {
    refreshedAt = performance.now();
    socket.send(JSON.stringify({ type: "refresh_stats" }));
  }
}

/* ---- what the reader sees -------------------------------------------------------------------- */

function showNumbers(numbers) {
  attempts = 0;
  shownAt = new Date();
  for (const cell of strip.querySelectorAll("[data-number]")) {
    const value = numbers?.[cell.dataset.number];
    if (Number.isFinite(value)) cell.textContent = number.format(value);
  }
  show("live", "Live");
}

function show(state, text) {
  strip.dataset.state = state;
  if (status.textContent !== text) status.textContent = text;
}

const sent = new Map();

function showLedger() {
  const list = [...sent].map(([type, times]) => (times > 1 ? `${type} × ${times}` : type)).join(", ");
  ledger.textContent = list
    ? `Besides being opened, this page has told the server: ${list}.`
    : "Besides being opened, this page has told the server nothing yet.";
}

document.addEventListener("maicivy:sent", ({ detail }) => {
  if (!detail.counted) return;
  sent.set(detail.type, (sent.get(detail.type) ?? 0) + 1);
  showLedger();
});

/* ---- coming and going ------------------------------------------------------------------------ */

document.addEventListener("visibilitychange", () => {
  clearTimeout(timers.hidden);
  if (!document.hidden) connect();
  else timers.hidden = setTimeout(disconnect, HIDDEN_SECONDS * 1000);
});
window.addEventListener("online", connect);
window.addEventListener("pagehide", disconnect); // an open socket would keep the page out of the back/forward cache
window.addEventListener("pageshow", (event) => event.persisted && connect());

strip.hidden = false;
if (optedOut) ledger.textContent = "Your browser asks not to be tracked, so this page tells the server nothing.";
else showLedger();
connect();

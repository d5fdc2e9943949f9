// Days of the site's time zone, which need not be the reader's.

import { settings } from "./dom.js";

const DAY_MS = 86_400_000;
// The server's clock decides what is today.
const ahead = Date.now() - settings.now;
const dayIn = new Intl.DateTimeFormat("en-CA", { timeZone: settings.zone, year: "numeric", month: "2-digit", day: "2-digit" });

const clockIn = new Intl.DateTimeFormat("en-US", {
  timeZone: settings.zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric",
});

/** A date whose local parts are those of the instant (ms) in the site's zone. */
export function local(instant) {
  const [month, date, year, hour, minute, second] = clockIn.format(instant).match(/\d+/g).map(Number);
  return new Date(year, month - 1, date, hour, minute, second);
}

/** The server's time now, in milliseconds. */
export const now = () => Date.now() - ahead;

/** Today, `YYYY-MM-DD`. */
export const today = () => dayIn.format(now());

/** The day `days` after `day` (before, when negative). */
export function shift(day, days) {
  return new Date(Date.parse(`${day}T12:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);
}

/** How many days lie from `from` to `to`, both counted. */
export const span = (from, to) => Math.round((Date.parse(to) - Date.parse(from)) / DAY_MS) + 1;

/** The first and last day of a view. */
export function range(view) {
  const last = today();
  switch (view.period) {
    case "yesterday": return [shift(last, -1), shift(last, -1)];
    case "7d": return [shift(last, -6), last];
    case "30d": return [shift(last, -29), last];
    case "month": return [`${last.slice(0, 8)}01`, last];
    case "custom": return [view.from, view.to];
    default: return [last, last];
  }
}

/** Whether events that happen now belong to the view. */
export function isOpen(view) {
  const [from, to] = range(view);
  return from <= today() && today() <= to;
}

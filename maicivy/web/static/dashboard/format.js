// Numbers, dates and durations as the reader writes them.

import { settings } from "./dom.js";
import { has, locale, t } from "./texts.js";

const made = new Map();

/** Intl objects are dear; each is made once for a language. */
function intl(kind, options) {
  const key = locale() + kind.name + JSON.stringify(options);
  if (!made.has(key)) made.set(key, new kind(locale(), options));
  return made.get(key);
}

export const number = (value) => intl(Intl.NumberFormat, {}).format(value);

export const short = (value) => intl(Intl.NumberFormat, { notation: "compact", maximumFractionDigits: 1 }).format(value);

/** A share of 1 as a percentage. */
export const percent = (value, digits = 1) =>
  value == null ? "–" : intl(Intl.NumberFormat, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);

/** Seconds as `2m 5s`, in the reader's words. */
export function duration(seconds) {
  if (seconds == null) return "–";
  const whole = Math.round(seconds);
  const parts = [["hour", Math.floor(whole / 3600)], ["minute", Math.floor((whole % 3600) / 60)], ["second", whole % 60]];
  const first = parts.findIndex(([, value]) => value > 0);
  const shown = first < 0 ? parts.slice(2) : parts.slice(first, first + 2).filter(([, value]) => value > 0);
  return shown.map(([unit, value]) => intl(Intl.NumberFormat, { style: "unit", unit, unitDisplay: "narrow" }).format(value)).join(" ");
}

/** A time of the clock. */
export const clock = (instant) =>
  intl(Intl.DateTimeFormat, { timeZone: settings.zone, hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(instant);

/** A bucket's beginning, in full. */
export const bucket = (instant, interval) =>
  intl(Intl.DateTimeFormat, { timeZone: settings.zone, ...(FULL[interval] ?? FULL.day) }).format(instant);

/** A bucket's beginning, for an axis. */
export const tick = (instant, interval) =>
  intl(Intl.DateTimeFormat, { timeZone: settings.zone, ...(AXIS[interval] ?? AXIS.day) }).format(instant);

/** A day, `YYYY-MM-DD`. */
export const day = (text) =>
  intl(Intl.DateTimeFormat, { timeZone: "UTC", day: "numeric", month: "short", year: "numeric" }).format(Date.parse(text));

const FULL = {
  hour: { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
  day: { weekday: "short", day: "numeric", month: "short", year: "numeric" },
  week: { day: "numeric", month: "short", year: "numeric" },
  month: { month: "long", year: "numeric" },
};
const AXIS = {
  hour: { hour: "numeric" },
  day: { day: "numeric", month: "short" },
  week: { day: "numeric", month: "short" },
  month: { month: "short", year: "2-digit" },
};

/** What a value of `by` is called. */
export function label(by, value) {
  const known = { "(direct)": "direct", "(other)": "other", unknown: "unknown", other: "other" }[value];
  if (known && has(known)) return t(known);
  if (["device", "screen"].includes(by) && has(`${by}_${value}`)) return t(`${by}_${value}`);
  if (by === "language") return languageName(value);
  return value;
}

function languageName(tag) {
  try {
    return new Intl.DisplayNames(locale(), { type: "language" }).of(tag);
  } catch {
    return tag;
  }
}

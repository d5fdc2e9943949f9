// Every address that is asked, and what becomes of a refusal.

import { range } from "./dates.js";
import { WIDTHS } from "./state.js";

const BASE = "/api/v1/analytics";
const LOGIN = "/login";
const PATIENCE_MS = 20_000;

/** A refusal. `status` is 0 when the server could not be reached. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The questions. Each takes a view and a signal, and returns `{data, meta}`. */
export const api = {
  realtime: (signal) => ask("realtime", {}, signal),
  summary: (view, signal) => ask("sessions/summary", compared(view), signal),
  series: (view, signal, metric = view.metric, more = {}) => ask("timeseries", { metric, ...compared(view), ...more }, signal),
  pages: (view, signal, more) => ask("pages", { ...asked(view), ...more }, signal),
  sources: (view, signal, more) => ask("sources", { by: view.sources, ...asked(view), ...more }, signal),
  devices: (view, signal, more) => ask("devices", { by: view.devices, ...asked(view), ...more }, signal),
  events: (view, signal, more) => ask("events", { ...asked(view), ...more }, signal),
  properties: (view, name, property, signal) =>
    ask(`events/${encodeURIComponent(name)}/properties`, { ...asked(view), limit: 20, ...(property == null ? {} : { property }) }, signal),
  themes: (view, signal, more) => ask("themes", { ...asked(view), ...more }, signal),
  letters: (view, signal) => ask("letters", { period: view.period }, signal),
  timeline: (limit, signal) => ask("timeline", { limit }, signal),
  shares: () => ask("shares"),
  share: (fields) => ask("shares", {}, null, { method: "POST", body: JSON.stringify(fields) }),
  unshare: (id) => ask(`shares/${id}`, {}, null, { method: "DELETE" }),
  heatmap: (view, page, signal) =>
    ask("heatmap", { page_url: page, hours: view.heat_hours, ...WIDTHS[view.heat_width] }, signal),
};

/** Where a list can be had as CSV. */
export function csvAddress(name, view, more = {}) {
  return `${BASE}/${name}?${new URLSearchParams({ ...asked(view), ...more, format: "csv" })}`;
}

/** Where the live feed is. */
export const socketAddress = () => `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/ws/analytics`;

/** The source of a page of the site; asked for so that it is not counted as a visit. */
export async function pageSource(path, signal) {
  const answer = await fetch(path, { headers: { Purpose: "prefetch" }, credentials: "same-origin", signal });
  const kind = answer.headers.get("Content-Type") ?? "";
  return answer.ok && kind.startsWith("text/html") ? answer.text() : null;
}

function time(view) {
  const [from, to] = range(view);
  return ["day", "month"].includes(view.period) ? { period: view.period } : { from, to };
}

const asked = (view) => ({ ...time(view), ...view.filters });

function compared(view) {
  return view.compare === "previous" ? { ...asked(view), compare: "previous" } : asked(view);
}

async function ask(path, parameters = {}, signal = null, sent = {}) {
  const query = new URLSearchParams(parameters).toString();
  const limit = AbortSignal.timeout(PATIENCE_MS);
  let answer, body;
  try {
    answer = await fetch(`${BASE}/${path}${query && `?${query}`}`, {
      ...sent,
      headers: { Accept: "application/json", ...(sent.body && { "Content-Type": "application/json" }) },
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    body = await answer.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(answer && answer.status >= 400 ? answer.status : 0, "");
  }
  if (answer.status === 401) logIn();
  if (!answer.ok || !body.success) throw new ApiError(answer.status, body.error ?? "");
  return { data: body.data, meta: body.meta ?? {} };
}

function logIn() {
  location.assign(`${LOGIN}?next=${encodeURIComponent(location.pathname + location.search)}`);
}

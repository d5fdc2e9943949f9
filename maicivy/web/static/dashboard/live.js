// The live feed: one WebSocket that is opened again when it is lost, later each time, never in step with others.

import { api, socketAddress } from "./api.js";

const FIRST_DELAY_MS = 1000;
const LONGEST_DELAY_MS = 30_000;
const SILENCE_MS = 15_000; // three missed heartbeats
const REFRESH_MS = 500;

/**
 * Keep a connection. `on.numbers(data)`, `on.event(message)`, `on.state(state, retryAt)` are called;
 * the states are `connecting`, `live`, `polling` (the server answers, but has no live feed for us)
 * and `offline`.
 */
export class Live {
  #on;
  #socket = null;
  #attempts = 0;
  #timers = { retry: 0, silence: 0, refresh: 0 };
  #state = "connecting";

  constructor(on) {
    this.#on = on;
    addEventListener("online", () => this.connect());
    // an open socket would keep the page out of the back/forward cache
    addEventListener("pagehide", () => this.#drop());
    addEventListener("pageshow", (event) => event.persisted && this.connect());
    document.addEventListener("visibilitychange", () => !document.hidden && this.connect());
  }

  /** Connect now, unless there is a connection. */
  connect() {
    clearTimeout(this.#timers.retry);
    if (this.#socket) return;
    this.#socket = new WebSocket(socketAddress());
    this.#socket.onmessage = (message) => this.#receive(message.data);
    this.#socket.onclose = () => this.#lost();
    this.#expectWord();
  }

  /** Ask for fresh numbers of this moment; a burst of wishes asks once. */
  refresh() {
    if (this.#timers.refresh) return;
    this.#timers.refresh = setTimeout(() => {
      this.#timers.refresh = 0;
      if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send('{"type": "refresh_stats"}');
    }, REFRESH_MS);
  }

  #drop() {
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    this.#timers.refresh = 0;
    if (!this.#socket) return;
    this.#socket.onclose = this.#socket.onmessage = null;
    this.#socket.close();
    this.#socket = null;
  }

  async #lost() {
    this.#drop();
    const ceiling = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#attempts);
    const delay = ceiling * (0.5 + Math.random() / 2);
    this.#attempts += 1;
    this.#timers.retry = setTimeout(() => this.connect(), delay);
    const retryAt = Date.now() + delay;
    if (this.#state === "live") this.#tell("offline", retryAt);
    try {
      this.#on.numbers((await api.realtime()).data);
      if (!this.#socket) this.#tell("polling", retryAt);
    } catch {
      if (!this.#socket) this.#tell("offline", retryAt);
    }
  }

  /** A connection that says nothing is as good as closed. */
  #expectWord() {
    clearTimeout(this.#timers.silence);
    this.#timers.silence = setTimeout(() => this.#lost(), SILENCE_MS);
  }

  #receive(text) {
    this.#expectWord();
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    if (message.type === "initial_stats" || message.type === "heartbeat") {
      this.#attempts = 0;
      if (this.#state !== "live") this.#tell("live");
      this.#on.numbers(message.data);
    } else if (message.type !== "pong" && message.type !== "error") {
      this.#on.event(message);
    }
  }

  #tell(state, retryAt) {
    this.#state = state;
    this.#on.state(state, retryAt);
  }
}

// A card: it asks, shows, and says so when it cannot.

import { fill, h } from "./dom.js";
import { t } from "./texts.js";

/**
 * One question and how its answer is shown.
 * `ask(view, signal)` returns what `show(answer, view)` turns into elements.
 */
export class Card {
  constructor(id, { ask, show, every = 5000, skeleton = lines, lazy = false }) {
    Object.assign(this, { every, ask, show });
    this.section = document.getElementById(id);
    this.body = this.section.querySelector("[data-body]");
    this.answer = null;
    this.shown = "";
    fill(this.body, skeleton());
    if (lazy) this.#sleep();
  }

  /** Ask nothing until the reader comes near. */
  #sleep() {
    this.wake = { view: null };
    this.body.setAttribute("aria-busy", "false");
    const watcher = new IntersectionObserver(([{ isIntersecting }]) => {
      if (!isIntersecting) return;
      watcher.disconnect();
      const { view, signal } = this.wake;
      this.wake = null;
      if (view) this.load(view, signal);
    }, { rootMargin: "200px" });
    watcher.observe(this.section);
  }

  /** Ask for another view; what is shown meanwhile is marked as old. */
  async load(view, signal) {
    if (this.wake) return void (this.wake = { view, signal });
    this.turn = (this.turn ?? 0) + 1;
    this.body.setAttribute("aria-busy", "true");
    this.shown = "";
    await this.refresh(view, signal, true);
  }

  /** Ask again; an answer that is the same changes nothing, one that fails leaves what is there. */
  async refresh(view, signal, loud = false) {
    if (this.wake) return;
    const turn = this.turn;
    const isOver = () => signal?.aborted || turn !== this.turn;
    try {
      const answer = await this.ask(view, signal);
      if (!isOver()) this.#put(answer, view);
    } catch (error) {
      if (isOver()) return;
      if (loud) this.#fail(error, view, signal);
    }
  }

  /** Show the last answer again: another language, another tab. */
  redraw(view) {
    this.shown = "";
    if (this.answer) this.#put(this.answer, view);
  }

  #put(answer, view) {
    this.answer = answer;
    const text = JSON.stringify(answer);
    if (text !== this.shown) {
      this.shown = text;
      fill(this.body, this.show(answer, view));
    }
    this.body.setAttribute("aria-busy", "false");
  }

  #fail(error, view, signal) {
    if (error.status === undefined) console.error(error); // a fault of ours, not a refusal
    this.answer = null;
    const again = () => this.load(view, signal);
    const words = error.status === 0 ? t("unreachable") : error.message || t("failed");
    const retry = h("button", { type: "button", className: "quiet", data: { key: "retry" }, on: { click: again } }, t("retry"));
    fill(this.body, h("div", { className: "failed", attrs: { role: "alert" } }, h("p", {}, words), retry));
    this.body.setAttribute("aria-busy", "false");
  }
}

/** Grey lines in the place of rows. */
export function lines(count = 8) {
  return Array.from({ length: count }, (_, at) => h("div", { className: `bone bone-${at % 4}`, aria: { hidden: "true" } }));
}

/** What a card says that has nothing to show. */
export const empty = (text, ...more) => h("div", { className: "empty" }, h("p", {}, text), ...more);

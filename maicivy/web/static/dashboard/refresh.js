// When the cards ask again: all at once when the view changes, one after another when events come in.

/** Cards in the order of their importance; each has `every`, the shortest time between two questions in ms. */
export class Refresher {
  #cards;
  #wanted = new Set();
  #asked = new Map();
  #abort = new AbortController();
  #timer = 0;
  #busy = false;

  constructor(cards) {
    this.#cards = cards;
    document.addEventListener("visibilitychange", () => this.#run());
  }

  /** Ask everything anew for another view; what is still being asked for the old one is given up. */
  async load(view, cards = this.#cards) {
    if (cards === this.#cards) {
      this.#abort.abort();
      this.#abort = new AbortController();
      this.#wanted.clear();
    }
    this.view = view;
    await Promise.all(cards.map((card) => this.#ask(card, card.load(view, this.#abort.signal))));
  }

  /** Something happened: every card is to ask again, in its turn, as soon as it may. */
  touch() {
    for (const card of this.#cards) this.#wanted.add(card);
    this.#run();
  }

  #ask(card, answer) {
    this.#wanted.delete(card);
    this.#asked.set(card, performance.now());
    return answer;
  }

  #wait(card) {
    return (this.#asked.get(card) ?? -Infinity) + card.every - performance.now();
  }

  async #run() {
    clearTimeout(this.#timer);
    if (this.#busy || document.hidden) return;
    const waiting = this.#cards.filter((card) => this.#wanted.has(card));
    const next = waiting.find((card) => this.#wait(card) <= 0);
    if (!next) {
      const shortest = Math.min(...waiting.map((card) => this.#wait(card)));
      if (waiting.length) this.#timer = setTimeout(() => this.#run(), Math.max(10, shortest));
      return;
    }
    this.#busy = true;
    await this.#ask(next, next.refresh(this.view, this.#abort.signal));
    this.#busy = false;
    this.#run();
  }
}

// Types of what the tracker puts on a page: `window.maicivy`.

/** Properties of an event: a JSON object, at most 16 KiB as text. */
export type MaicivyProperties = Record<string, unknown>;

export interface Maicivy {
  /**
   * Send an event. It never throws, and it never waits.
   *
   * @param name a letter, then letters, digits or any of `_ . : -`; at most 50 characters
   * @param properties what there is to say about it
   * @param session_duration seconds that it took, a whole number
   */
  (name: string, properties?: MaicivyProperties, session_duration?: number): void;

  /** Calls that were made before the script was there, each as its arguments. */
  q?: ArrayLike<unknown>[];
}

declare global {
  interface Window {
    maicivy?: Maicivy;
  }

  /** There once the line of docs/tracker.md, or the script itself, has run. */
  const maicivy: Maicivy;
}

/** What the server announces (server-sent events), heard again after every break. */

import { eventsAddress, readJson } from "./server.js";

const KINDS = ["queued", "started", "plan", "progress", "preview", "result", "done", "failed", "cancelled", "moved", "deleted"];
const FIRST_PAUSE = 1000; // milliseconds
const LONGEST_PAUSE = 15000;

/** Says "found" when it hears the server (again), "lost" when it does not, "announcement" with {kind, number, job}. */
export class Announcements extends EventTarget {
  #source = null;
  #pause = FIRST_PAUSE;
  #timer = null;

  constructor() {
    super();
    addEventListener("online", () => this.listen());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.#source?.readyState !== EventSource.OPEN) this.listen();
    });
  }

  /** Listen from now on, with a new connection. */
  listen() {
    clearTimeout(this.#timer);
    this.#source?.close();
    const source = new EventSource(eventsAddress());
    this.#source = source;
    source.addEventListener("open", () => {
      this.#pause = FIRST_PAUSE;
      this.dispatchEvent(new Event("found"));
    });
    source.addEventListener("error", () => {
      this.dispatchEvent(new Event("lost"));
      // The browser tries again by itself only after some kinds of breaks, and at its own pace.
      source.close();
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.listen(), this.#pause);
      this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE);
    });
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        const detail = { kind, number: event.lastEventId, job: readJson(event.data) };
        this.dispatchEvent(new CustomEvent("announcement", { detail }));
      });
    }
  }

  /** Stop listening, until `listen`. */
  rest() {
    clearTimeout(this.#timer);
    this.#source?.close();
  }
}

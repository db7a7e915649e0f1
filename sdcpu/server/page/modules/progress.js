/** How far a job is: a bar, what is being done, and the time that is left. */

import { make } from "./elements.js";
import { bytes, duration, percent } from "./figures.js";
import { text } from "./language.js";

/** The part of a job that is done, 0 to 1; null while nobody knows. */
export function fractionOf({ progress }) {
  if (!progress) return null;
  if (progress.fraction !== null && progress.fraction !== undefined) return progress.fraction;
  return progress.stage === "download" && progress.total ? progress.done / progress.total : null;
}

/** What is being done, in words. */
export function stateText(job) {
  const { progress } = job;
  if (job.state === "queued") return job.position ? text("queue.before", { count: job.position }) : text("queue.next");
  if (job.state !== "running" || !progress) return text(`state.${job.state}`);
  const parts = [text(`stage.${progress.stage}`)];
  if (progress.stage === "download" && progress.total) {
    parts.push(text("progress.bytes", { done: bytes(progress.done), total: bytes(progress.total) }));
  } else if (progress.stage === "sample" && progress.total) {
    parts.push(text("progress.step", { step: progress.done, steps: progress.total }));
  }
  const count = job.request.count ?? 1;
  if (count > 1) parts.push(text("progress.picture", { number: (progress.picture ?? 0) + 1, pictures: count }));
  return parts.join(" · ");
}

/** A progress bar that is told about a job again and again; between that it counts the seconds down. */
export class Progress {
  #fill = make("span");
  #state = make("span", { className: "state" });
  #left = make("span", { className: "left" });
  #until = null;
  #seen = null;
  #timer = null;

  constructor(...buttons) {
    this.bar = make("div", { className: "bar", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, this.#fill);
    this.element = make("div", { className: "progress" },
      this.bar, make("div", { className: "line" }, this.#state, this.#left, buttons));
  }

  /** Show how far this job is now. */
  show(job) {
    const fraction = job.state === "queued" ? 0 : fractionOf(job);
    const state = stateText(job);
    this.#state.textContent = state;
    this.bar.classList.toggle("unknown", fraction === null);
    this.bar.setAttribute("aria-label", state);
    if (fraction === null) this.bar.removeAttribute("aria-valuenow");
    else this.bar.setAttribute("aria-valuenow", Math.round(100 * fraction));
    this.#fill.style.transform = fraction === null ? "" : `scaleX(${fraction})`;
    const left = job.progress?.seconds_left;
    const told = JSON.stringify(job.progress);
    if (told !== this.#seen) this.#until = typeof left === "number" ? Date.now() + 1000 * left : null;
    this.#seen = told;
    this.#count(fraction);
    clearInterval(this.#timer);
    if (job.state === "running") this.#timer = setInterval(() => this.#tick(fraction), 1000);
  }

  #tick(fraction) {
    if (this.element.isConnected) this.#count(fraction);
    else clearInterval(this.#timer);
  }

  #count(fraction) {
    const left = this.#until === null ? null : (this.#until - Date.now()) / 1000;
    const known = fraction ? percent(fraction) : "";
    const time = left === null ? "" : left < 1 ? text("progress.soon") : text("progress.left", { time: duration(left) });
    this.#left.textContent = [known, time].filter(Boolean).join(" · ");
  }
}

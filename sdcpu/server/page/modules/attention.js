/** Telling someone who looks elsewhere: the tab's title, and a notification if they asked for one. */

import { fill, icon, one } from "./elements.js";
import { percent } from "./figures.js";
import { jobs } from "./jobs.js";
import { onLanguage, text } from "./language.js";
import { remember, remembered } from "./memory.js";
import { announce, errorMessage } from "./notices.js";
import { fractionOf, stateText } from "./progress.js";
import { thumbnailAddress } from "./server.js";

const NAME = "sdcpu";
const QUARTERS = 4;

/** Keeps the title, says aloud what happens, and notifies when a picture is done. */
export class Attention {
  #button = one("#notify");
  #news = "";
  #said = "";

  constructor() {
    jobs.addEventListener("change", (event) => this.#changed(event.detail));
    document.addEventListener("visibilitychange", () => this.#seen());
    addEventListener("focus", () => this.#seen());
    onLanguage(() => this.#renderButton());
    // Browsers know notifications only on this machine's own address and over https.
    this.#button.hidden = !("Notification" in window) || !isSecureContext;
    this.#button.addEventListener("click", () => this.#switch());
    this.#renderButton();
  }

  get #wanted() {
    return remembered("notify", false) && "Notification" in window && Notification.permission === "granted";
  }

  async #switch() {
    const wanted = !this.#wanted && (await Notification.requestPermission()) === "granted";
    remember("notify", wanted);
    this.#renderButton();
  }

  #renderButton() {
    const label = text(this.#wanted ? "top.notify_off" : "top.notify_on");
    this.#button.setAttribute("aria-label", label);
    this.#button.setAttribute("aria-pressed", String(this.#wanted));
    this.#button.title = label;
    fill(this.#button, icon(this.#wanted ? "bell-on" : "bell"));
  }

  #changed({ job, kind }) {
    if (kind === "done") this.#finished(text("attention.done"), job, job.results[0]);
    else if (kind === "failed") this.#finished(text("attention.failed", { message: errorMessage(job.error ?? {}) }), job);
    else if (kind === "cancelled") announce(text("state.cancelled"));
    else this.#sayProgress();
    this.#title();
  }

  #finished(message, job, result) {
    announce(message);
    if (!document.hidden && document.hasFocus()) return;
    this.#news = message;
    if (!this.#wanted) return;
    const picture = result ? thumbnailAddress(job.id, result.index) : "icon.svg";
    const notification = new Notification(message, { body: job.request.prompt ?? "", icon: picture, tag: NAME });
    notification.addEventListener("click", () => window.focus());
  }

  /** Say each stage once, and every quarter of the way: more would only disturb. */
  #sayProgress() {
    const { running } = jobs;
    if (!running?.progress) return;
    const fraction = fractionOf(running);
    const quarter = fraction === null ? 0 : Math.floor(fraction * QUARTERS);
    const key = `${running.id} ${running.progress.stage} ${quarter}`;
    if (key === this.#said) return;
    this.#said = key;
    announce(quarter ? `${stateText(running)}, ${percent(fraction)}` : stateText(running));
  }

  #seen() {
    if (document.hidden) return;
    this.#news = "";
    this.#title();
  }

  #title() {
    const { running } = jobs;
    const fraction = running ? fractionOf(running) : null;
    const state = running ? (fraction === null ? text("attention.drawing") : percent(fraction)) : this.#news;
    document.title = state ? `${state} – ${NAME}` : NAME;
  }
}

/** What will happen when it is started: download, time, memory, and why; asked for after every change. */

import { fill, icon, make, one } from "./elements.js";
import { bytes, duration } from "./figures.js";
import { onLanguage, text } from "./language.js";
import { errorHint, errorMessage } from "./notices.js";
import { plan as askForPlan } from "./server.js";

const PAUSE = 350; // milliseconds without a change before the server is asked

/** Says "planned" with the plan, or with null where there is none. */
export class Plan extends EventTarget {
  #place = one("#plan");
  #timer = null;
  #asking = null;
  #shown = null;
  #open = false;

  /** Whether the server may download what is not here. */
  mayDownload = true;

  constructor() {
    super();
    onLanguage(() => this.#shown?.());
  }

  /** Find out about what is wanted, once it stays the same for a moment. */
  of(wanted) {
    clearTimeout(this.#timer);
    this.#place.classList.add("waiting");
    this.#timer = setTimeout(() => this.#ask(wanted), PAUSE);
  }

  async #ask(wanted) {
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    try {
      const plan = await askForPlan(wanted, asking.signal);
      this.#tell(() => this.#facts(plan), plan);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.code === "unreachable" || error.status === 401) return;
      this.#tell(() => this.#problem(error), null);
    }
  }

  #tell(show, plan) {
    this.#place.classList.remove("waiting");
    this.#shown = show;
    show();
    this.dispatchEvent(new CustomEvent("planned", { detail: plan }));
  }

  #facts(plan) {
    const download = plan.download_bytes ?? plan.download_size ?? 0;
    const seconds = plan.seconds_expected;
    const facts = [
      ["clock", seconds === null ? text("plan.time_unknown") : text("plan.time", { time: duration(seconds) })],
      ["memory", text("plan.memory", { size: bytes(plan.memory_needed) })],
      download ? ["download", text("plan.download", { size: bytes(download) }), "loud"] : ["check", text("plan.nothing_to_download")],
    ];
    const list = facts.map(([name, fact, className = ""]) => make("li", { className }, icon(name), fact));
    const surprises = plan.surprises ?? [];
    const others = (plan.reasons ?? []).filter((reason) => !surprises.includes(reason));
    const why = make("details", { open: this.#open, on: { toggle: (event) => (this.#open = event.target.open) } },
      make("summary", { data: { focus: "why" } }, text("plan.why")), make("ul", { className: "reasons", lang: "en" }, others.map((reason) => make("li", {}, reason))));
    fill(this.#place,
      make("ul", { className: "facts" }, list),
      download && !this.mayDownload ? make("p", { className: "problem" }, text("plan.no_downloads", { name: plan.model.name })) : null,
      surprises.length ? make("div", { className: "surprises", lang: "en" }, surprises.map((reason) => make("p", {}, reason))) : null,
      others.length ? why : null);
  }

  #problem(error) {
    const hint = errorHint(error);
    fill(this.#place, make("div", { className: "problem" },
      make("p", {}, errorMessage(error)), hint ? make("p", { className: "hint" }, hint) : null));
  }
}

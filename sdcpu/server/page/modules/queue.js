/** The queue: what is drawn, what waits, and what failed. */

import { button, fill, make, one } from "./elements.js";
import { jobs } from "./jobs.js";
import { onLanguage, text } from "./language.js";
import { errorMessage } from "./notices.js";
import { Progress, stateText } from "./progress.js";

const MOST_FAILED = 3;
const STEP = 1;

/** Lists jobs that have no picture yet; `actions` does what the buttons say. */
export class Queue {
  #actions;
  #stage;
  #dismissed = new Set();
  #bar = null;
  #shown = "";

  constructor(actions, stage) {
    this.#actions = actions;
    this.#stage = stage;
    jobs.addEventListener("change", () => this.render());
    stage.addEventListener("shown", () => this.render());
    onLanguage(() => this.render({ anew: true }));
  }

  render({ anew = false } = {}) {
    const onStage = this.#stage.job;
    const active = [jobs.running, ...jobs.waiting].filter(Boolean);
    const failed = jobs.unfinished.filter((job) => !this.#dismissed.has(job.id) && job.results.length === 0).slice(0, MOST_FAILED);
    const isShown = (job) => job.id === onStage?.id;
    const alone = active.length === 1 && isShown(active[0]);
    const listed = alone ? [] : active.filter((job) => job.state === "queued" || !isShown(job));
    const rows = [...listed, ...failed.filter((job) => !isShown(job))];
    const key = JSON.stringify([rows.map((job) => [job.id, job.state, job.position, job.priority]), onStage?.id]);
    one("#queue").hidden = rows.length === 0;
    if (anew || key !== this.#shown) {
      fill(one("#queue-rows"), rows.map((job) => this.#row(job)));
    }
    this.#shown = key;
    const job = rows.find(({ state }) => state === "running");
    if (!job) return;
    this.#bar.show(job);
    one("#queue-rows [data-state='running'] .hint").textContent = this.#state(job);
  }

  #row(job) {
    const words = job.request.prompt ?? text("stage.enlarged");
    const look = () => this.#stage.follow(job.id);
    const place = job.state === "queued" ? String((job.position ?? 0) + 1) : "";
    const what = make("div", { className: "what" },
      make("button", { type: "button", title: words, data: { focus: `look-${job.id}` }, on: { click: look } }, words || text("queue.no_words")),
      make("span", { className: "hint" }, this.#state(job)));
    if (job.state === "running") {
      this.#bar = new Progress();
      what.append(this.#bar.bar);
    }
    return make("li", { data: { job: job.id, state: job.state } },
      make("span", { className: "place" }, place), what, make("div", { className: "tasks" }, this.#tasks(job)));
  }

  #state(job) {
    if (job.state === "failed" && job.error) return errorMessage(job.error);
    const priority = job.priority ? text("queue.priority", { priority: job.priority }) : null;
    return [job.state === "queued" ? job.model : stateText(job), priority].filter(Boolean).join(" · ");
  }

  #tasks(job) {
    const { remove, retry, prioritise } = this.#actions;
    const quietly = (name, iconName, act, focus) => button(text(name), iconName, act, { shown: false, data: { focus: `${focus}-${job.id}` } });
    if (job.state === "queued") {
      return [
        quietly("queue.sooner", "up", () => prioritise(job, Math.min(10, job.priority + STEP)), "sooner"),
        quietly("queue.later", "down", () => prioritise(job, Math.max(-10, job.priority - STEP)), "later"),
        quietly("queue.remove", "close", () => remove(job), "remove"),
      ];
    }
    if (job.state === "running") return [quietly("stage.cancel", "stop", () => (this.#stage.follow(job.id), this.#stage.ask()), "stop")];
    const dismiss = () => {
      this.#dismissed.add(job.id);
      remove(job);
    };
    return [quietly("queue.retry", "again", () => retry(job), "retry"), quietly("queue.remove", "close", dismiss, "dismiss")];
  }
}

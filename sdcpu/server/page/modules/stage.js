/** The stage: the one picture that is looked at, growing or finished, and what can be done with it. */

import { button, fill, icon, make, one } from "./elements.js";
import { isFinal, jobs } from "./jobs.js";
import { onLanguage, text } from "./language.js";
import { errorHint, errorMessage } from "./notices.js";
import { Progress, stateText } from "./progress.js";
import { recipeList } from "./recipe.js";
import { isVideo, previewAddress, resultAddress, thumbnailAddress } from "./server.js";

const LARGEST = 1.5; // a picture is shown at most so many times as large as it is,
const SMALL = 512; // unless that is less than so many pixels
const SHARE = 0.68; // of the window's height

/** Shows one job. `actions` does what its buttons say; says "shown" when another picture is looked at. */
export class Stage extends EventTarget {
  #place = one("#stage");
  #actions;
  #job = null;
  #index = 0;
  #follows = true;
  #drawn = "";
  #progress = null;
  #asking = false;
  #recipeOpen = false;

  constructor(actions) {
    super();
    this.#actions = actions;
    jobs.addEventListener("change", (event) => this.#changed(event.detail));
    onLanguage(() => this.#draw({ anew: true }));
    addEventListener("resize", () => this.#fit());
  }

  /** The job that is shown, or undefined, and the place of its picture. */
  get job() {
    return jobs.get(this.#job);
  }

  get index() {
    return this.#index;
  }

  /** Show a job's picture and stay with it. */
  show(id, index = 0) {
    this.#look(id, index, false);
  }

  /** Show a job, and after it whatever is drawn next. */
  follow(id) {
    this.#look(id, 0, true);
  }

  /** Ask whether the job should be cancelled, beside its progress; again: take the question back. */
  ask() {
    const job = this.job;
    if (!job || isFinal(job)) {
      if (!jobs.running) return;
      this.follow(jobs.running.id);
    }
    this.#asking = !this.#asking;
    this.#draw({ anew: true });
    if (this.#asking) one('[data-focus="cancel-yes"]', this.#place).focus();
  }

  get asks() {
    return this.#asking;
  }

  #look(id, index, follows) {
    [this.#job, this.#index, this.#follows, this.#asking] = [id, index, follows, false];
    this.#draw();
    this.dispatchEvent(new Event("shown"));
  }

  #changed({ job, kind, number }) {
    const shown = this.job;
    const { running } = jobs;
    if (this.#follows && running && running.id !== this.#job && (!shown || isFinal(shown))) return this.follow(running.id);
    if (!shown) {
      const [newest] = jobs.pictured;
      const next = running ?? jobs.waiting[0];
      this.#look(next?.id ?? newest?.id ?? null, 0, true);
    } else if (!job || job.id === this.#job) {
      if (isFinal(shown)) this.#asking = false;
      if (kind === "result" && this.#follows) this.#index = shown.results.length - 1;
      this.#draw({ preview: kind === "preview" ? number : null });
    }
  }

  #draw({ anew = false, preview = null } = {}) {
    const job = this.job;
    const key = job ? [job.id, job.state, Boolean(job.plan), job.results.length, this.#index].join(" ") : "";
    this.#place.classList.toggle("idle", !job);
    if (!job) {
      fill(this.#place, make("div", { className: "nothing" }, icon("picture"), make("p", {}, text("stage.nothing"))));
    } else if (anew || key !== this.#drawn || !this.#place.firstChild) {
      const parts = this.#parts(job);
      fill(this.#place, this.#frame(job), this.#strip(job), make("div", { className: "story" }, parts));
      this.#fit();
    }
    this.#drawn = key;
    if (job && !isFinal(job)) this.#progress?.show(job);
    if (preview !== null) this.#grow(preview);
  }

  #parts(job) {
    const words = make("p", { className: "words" }, job.request.prompt ?? text("stage.enlarged"));
    const result = this.#result(job);
    if (!isFinal(job)) {
      const cancel = button(text("stage.cancel"), "stop", () => this.ask(), { className: "small", data: { focus: "cancel" } });
      this.#progress = new Progress(cancel);
      return [this.#progress.element, this.#asking ? this.#question(job) : null, words];
    }
    const failure = job.state === "done" ? null : this.#failure(job);
    return result ? [failure, words, this.#tasks(job, result), this.#recipe(job, result)] : [failure, words];
  }

  /** Where the picture is, or will be. */
  #frame(job) {
    const result = this.#result(job);
    const frame = make("div", { className: "frame" });
    if (result && isFinal(job)) {
      const [src, words] = [resultAddress(job.id, result.index), job.request.prompt ?? text("stage.enlarged")];
      const video = { src, controls: true, loop: true, "aria-label": words };
      frame.append(isVideo(result) ? make("video", video) : make("img", { src, alt: words }));
    } else if (!isFinal(job)) {
      frame.classList.add("growing");
      frame.append(make("p", { className: "empty" }, text(job.state === "queued" ? "stage.waits" : "stage.begins")));
      if (job.progress?.stage === "sample" && job.progress.done > 0) this.#grow(0);
    } else {
      return null;
    }
    return frame;
  }

  /** Show the newest preview as soon as it is loaded, so that nothing flickers. */
  #grow(number) {
    const { id } = this.job;
    const next = new Image();
    next.alt = text("stage.growing");
    next.addEventListener("load", () => {
      const frame = one(".frame.growing", this.#place);
      if (id === this.#job && frame) frame.replaceChildren(next);
    });
    next.src = previewAddress(id, number);
  }

  #result(job) {
    return job.results[Math.min(this.#index, job.results.length - 1)];
  }

  /** Every finished picture of the job, to choose from. */
  #strip(job) {
    if (job.results.length < 2 || !isFinal(job)) return null;
    const choices = job.results.map((result, place) => make("button", {
      type: "button",
      "aria-pressed": String(place === this.#index),
      "aria-label": text("stage.picture", { number: place + 1 }),
      data: { focus: `picture-${place}` },
      on: { click: () => this.show(job.id, place) },
    }, make("img", { src: thumbnailAddress(job.id, result.index), alt: "" })));
    return make("div", { className: "strip" }, choices);
  }

  #question(job) {
    const yes = () => this.#actions.cancel(job);
    return make("div", { className: "question", role: "group", "aria-label": text("stage.cancel_question") },
      make("p", {}, text("stage.cancel_question")),
      button(text("stage.cancel_yes"), null, yes, { className: "small wrong", data: { focus: "cancel-yes" } }),
      button(text("stage.cancel_no"), null, () => this.ask(), { className: "small" }));
  }

  #failure(job) {
    const retry = button(text("queue.retry"), "again", () => this.#actions.retry(job), { className: "small" });
    const error = job.state === "failed" && job.error ? job.error : null;
    const hint = error ? errorHint(error) : "";
    return make("div", { className: error ? "failure" : "" },
      make("p", {}, error ? errorMessage(error) : stateText(job)),
      hint ? make("p", { className: "hint" }, hint) : null,
      make("div", { className: "tasks" }, retry));
  }

  #tasks(job, result) {
    const { use, again, start, enlarge, remove } = this.#actions;
    const name = `${job.id}-${result.index}.${result.media_type?.split("/")[1] ?? "png"}`;
    const save = make("a", { className: "button small", href: resultAddress(job.id, result.index), download: name }, icon("download"), text("picture.download"));
    const drawn = job.kind === "picture";
    const still = !isVideo(result);
    const erase = button(text("picture.delete"), "bin", () => {
      if (erase.classList.contains("wrong")) remove(job);
      erase.classList.add("wrong");
      erase.replaceChildren(icon("bin"), text("picture.delete_sure", { count: job.results.length }));
    }, { className: "small", data: { focus: "delete" } });
    return make("div", { className: "tasks" },
      drawn ? button(text("picture.use"), "settings", () => use(job, result), { className: "small" }) : null,
      drawn ? button(text("picture.again"), "again", () => again(job), { className: "small" }) : null,
      still ? button(text("picture.start"), "brush", () => start(job, result), { className: "small" }) : null,
      still ? button(text("picture.enlarge", { factor: 2 }), "enlarge", () => enlarge(job, result, 2), { className: "small" }) : null,
      still ? button(text("picture.enlarge", { factor: 4 }), "enlarge", () => enlarge(job, result, 4), { className: "small" }) : null,
      save,
      button(text("picture.screen"), "screen", () => this.#place.requestFullscreen?.(), { className: "small" }),
      erase);
  }

  #recipe(job, result) {
    return recipeList(job, result, { open: this.#recipeOpen, onToggle: (open) => (this.#recipeOpen = open) });
  }

  /** As large as there is room for, with the picture's proportions from the beginning. */
  #fit() {
    const frame = one(".frame", this.#place);
    const job = this.job;
    if (!frame || !job) return;
    const result = this.#result(job);
    const request = { ...job.request, ...job.plan?.request };
    const width = result?.width ?? request.width ?? 512;
    const height = result?.height ?? request.height ?? 512;
    const largest = Math.max(LARGEST, SMALL / Math.max(width, height));
    const scale = Math.min(largest, this.#place.clientWidth / width, (innerHeight * SHARE) / height);
    frame.style.width = `${Math.round(width * scale)}px`;
    frame.style.aspectRatio = `${width} / ${height}`;
  }
}

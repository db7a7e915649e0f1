/** What the buttons of the stage and the queue do. */

import { one } from "./elements.js";
import { jobs } from "./jobs.js";
import { text } from "./language.js";
import { announce, tell, tellError } from "./notices.js";
import * as server from "./server.js";

/** Whatever was asked for and could not be sent, with its key: sent again, it is the same job. */
let unsent = { body: "", key: "" };

/** The deeds by name, for a form and a stage that are given later by `serve`. */
export class Actions {
  #form = null;
  #stage = null;

  /** Work with this form and this stage. */
  serve(form, stage) {
    [this.#form, this.#stage] = [form, stage];
  }

  /** Draw what the form wants. */
  draw = async () => {
    const button = one("#draw");
    if (button.disabled) return; // the form is not filled yet, or this is the second press
    button.disabled = true;
    await this.#submit(this.#form.wanted());
    button.disabled = false;
  };

  /** Draw a job's request again with another seed. */
  again = ({ kind, model, request }) => {
    const { seed: _, ...others } = request;
    return this.#submit({ kind, model, request: others });
  };

  /** Put a picture's settings into the form. */
  use = (job, result) => this.#form.use(job, result);

  /** Start from a picture. */
  start = (job, result) => {
    this.#form.start.take(job, result);
    announce(text("start.taken"));
  };

  /** Make a picture larger. */
  enlarge = (job, result, factor) =>
    this.#submit({ kind: "upscale", model: null, request: { image: `result:${job.id}/${result.index}`, factor } });

  cancel = (job) => this.#take(server.cancel(job.id));
  prioritise = (job, priority) => this.#take(server.prioritise(job.id, priority));

  retry = async (job) => {
    const again = await this.#take(server.retry(job.id));
    if (again) this.#stage.follow(jobs.running?.id ?? again.id);
  };

  remove = async (job) => {
    try {
      await server.remove(job.id);
      jobs.drop(job.id);
      announce(text("picture.deleted"));
    } catch (error) {
      tellError(error);
    }
  };

  async #submit(wanted) {
    const body = JSON.stringify(wanted);
    if (unsent.body !== body) unsent = { body, key: newKey() };
    const job = await this.#take(server.submit({ ...wanted, key: unsent.key }));
    if (!job) return;
    unsent = { body: "", key: "" };
    const { running } = jobs;
    if (running && running.id !== job.id) tell(text("queue.added"));
    this.#stage.follow(running?.id ?? job.id);
    one("#stage").scrollIntoView({ block: "start" });
  }

  async #take(asked) {
    try {
      const job = await asked;
      jobs.take(job);
      return job;
    } catch (error) {
      tellError(error);
      return null;
    }
  }
}

/** Unguessable; `crypto.randomUUID` is missing where the page comes over plain http from elsewhere. */
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

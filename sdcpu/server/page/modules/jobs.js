/** The jobs that the page knows of, kept as the server tells them. */

import { jobs as readJobs } from "./server.js";

const ORDER = { queued: 0, running: 1, done: 2, failed: 2, cancelled: 2 };
const PAGE = 60;

export const isFinal = (job) => ORDER[job.state] === 2;

/** Says "change" with {job, kind, number} for one job, or with none when everything was read anew. */
class Jobs extends EventTarget {
  #byId = new Map();
  #announced = null;

  /** Whether the server has jobs that are older than those known here. */
  hasOlder = false;

  get = (id) => this.#byId.get(id);

  /** The job that is worked on, or undefined. */
  get running() {
    return this.#list((job) => job.state === "running")[0];
  }

  /** Those that wait, in their order. */
  get waiting() {
    return this.#list((job) => job.state === "queued").sort((a, b) => (a.position ?? 1e9) - (b.position ?? 1e9));
  }

  /** Those with pictures, the newest first. */
  get pictured() {
    return this.#newest((job) => job.results.length > 0 && isFinal(job));
  }

  /** Those that came to nothing, the newest first. */
  get unfinished() {
    return this.#newest((job) => job.state === "failed" || job.state === "cancelled");
  }

  /** Take over what was announced: it is always the newest state. */
  hear({ kind, number, job }) {
    if (!job?.id) return;
    this.#announced?.add(job.id);
    if (kind === "deleted") this.#byId.delete(job.id);
    else this.#byId.set(job.id, job);
    this.#tell({ job, kind, number });
  }

  /** Take over an answer, unless something newer was announced meanwhile. */
  take(job) {
    const known = this.#byId.get(job.id);
    if (known && ORDER[known.state] > ORDER[job.state]) return;
    this.#byId.set(job.id, job);
    this.#tell({ job, kind: "answer" });
  }

  drop(id) {
    const job = this.#byId.get(id);
    this.#byId.delete(id);
    if (job) this.#tell({ job, kind: "deleted" });
  }

  /** Read everything anew, as after a break. */
  async read() {
    this.#announced = new Set();
    const [active, newest] = await Promise.all([
      Promise.all(["queued", "running"].map((state) => readJobs({ state, limit: 200 }))),
      readJobs({ limit: PAGE }),
    ]);
    this.hasOlder = newest.length === PAGE;
    const kept = [...this.#announced].map((id) => this.#byId.get(id)).filter(Boolean);
    const gone = new Set([...this.#announced].filter((id) => !this.#byId.has(id)));
    const read = [...active.flat(), ...newest].filter((job) => !gone.has(job.id));
    this.#byId = new Map([...read, ...kept].map((job) => [job.id, job]));
    this.#announced = null;
    this.#tell({});
  }

  /** Read older ones. */
  async readOlder() {
    const oldest = this.#newest(() => true).at(-1);
    if (!oldest) return;
    const read = await readJobs({ limit: PAGE, before: oldest.id });
    for (const job of read) if (!this.#byId.has(job.id)) this.#byId.set(job.id, job);
    this.hasOlder = read.length === PAGE;
    this.#tell({});
  }

  #list = (isWanted) => [...this.#byId.values()].filter(isWanted);
  #newest = (isWanted) => this.#list(isWanted).sort((a, b) => b.created - a.created);
  #tell = (detail) => this.dispatchEvent(new CustomEvent("change", { detail }));
}

export const jobs = new Jobs();

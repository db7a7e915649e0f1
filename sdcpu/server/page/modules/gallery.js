/** The gallery: every finished picture, the newest first. */

import { all, fill, make, one } from "./elements.js";
import { jobs } from "./jobs.js";
import { onLanguage, text } from "./language.js";
import { tellError } from "./notices.js";
import { isVideo, resultAddress, thumbnailAddress } from "./server.js";

/** Shows what is finished; a click puts it on the stage. */
export class Gallery {
  #stage;
  #shown = "";

  constructor(stage) {
    this.#stage = stage;
    jobs.addEventListener("change", () => this.render());
    stage.addEventListener("shown", () => this.#mark());
    onLanguage(() => this.render({ anew: true }));
    one("#older").addEventListener("click", () => this.#readOlder());
  }

  /** Put the next (1) or the previous (-1) picture on the stage. */
  turn(direction) {
    const tiles = all("#tiles button");
    const now = tiles.findIndex((tile) => tile.getAttribute("aria-current") === "true");
    tiles[now + direction]?.click();
  }

  render({ anew = false } = {}) {
    const pictures = jobs.pictured.flatMap((job) => [...job.results].reverse().map((result) => ({ job, result })));
    const key = pictures.map(({ job, result }) => `${job.id}/${result.index}`).join(" ");
    one("#gallery").hidden = pictures.length === 0;
    if (anew || key !== this.#shown) {
      const known = new Map(all("#tiles li").map((tile) => [tile.dataset.picture, tile]));
      const tiles = pictures.map(({ job, result }) => known.get(`${job.id}/${result.index}`) ?? this.#tile(job, result));
      fill(one("#tiles"), tiles);
    }
    this.#shown = key;
    one("#older").hidden = !jobs.hasOlder;
    this.#mark();
  }

  #tile(job, result) {
    const name = `${job.id}/${result.index}`;
    const words = job.request.prompt || text("stage.enlarged");
    const look = () => {
      this.#stage.show(job.id, job.results.indexOf(result));
      one("#stage").scrollIntoView({ block: "start" });
    };
    const image = isVideo(result)
      ? make("video", { src: resultAddress(job.id, result.index), preload: "metadata", "aria-label": words })
      : make("img", { src: thumbnailAddress(job.id, result.index), alt: words, loading: "lazy" });
    return make("li", { data: { picture: name } },
      make("button", { type: "button", title: words, data: { focus: `tile-${name}` }, on: { click: look } }, image));
  }

  #mark() {
    const { job, index } = this.#stage;
    const name = job?.results.length ? `${job.id}/${job.results[Math.min(index, job.results.length - 1)].index}` : "";
    for (const tile of all("#tiles li")) {
      if (tile.dataset.picture === name) one("button", tile).setAttribute("aria-current", "true");
      else one("button", tile).removeAttribute("aria-current");
    }
  }

  async #readOlder() {
    try {
      await jobs.readOlder();
    } catch (error) {
      tellError(error);
    }
  }
}

/** How a picture was made, as a list that can be read. */

import { make } from "./elements.js";
import { duration, moment } from "./figures.js";
import { text } from "./language.js";

const SHOWN = [
  "model", "seed", "steps", "cfg_scale", "guidance", "sampler", "scheduler", "quality", "decoder", "styles", "loras",
  "strength", "hires", "upscale", "upscaler", "seamless", "clip_skip",
];

/** What is said of a result of a job: [[name, value], …]. */
export function recipeFacts(job, result) {
  const recipe = { ...job.request, ...result.recipe, seed: result.seed };
  recipe.model ??= job.model;
  const facts = SHOWN.map((name) => [text(`recipe.${name}`), valueText(recipe[name])]);
  const size = [text("recipe.size"), `${result.width}×${result.height}`];
  const negative = [text("recipe.negative_prompt"), recipe.negative_prompt];
  const time = [text("recipe.seconds"), result.seconds ? duration(result.seconds) : ""];
  const made = [text("recipe.finished"), job.finished ? moment(job.finished) : ""];
  return [size, ...facts, negative, time, made].filter(([, value]) => value);
}

/** The recipe, folded. */
export function recipeList(job, result, { open = false, onToggle = () => {} } = {}) {
  const facts = recipeFacts(job, result).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]);
  const notes = (job.notes ?? []).flatMap((note) => [make("dt", {}, text("recipe.note")), make("dd", { lang: "en" }, note)]);
  return make("details", { className: "recipe", open, on: { toggle: (event) => onToggle(event.target.open) } },
    make("summary", {}, text("recipe.title")), make("dl", {}, facts, notes));
}

function valueText(value) {
  if (value === null || value === undefined || value === "none" || value === "") return "";
  if (Array.isArray(value)) return value.map((part) => (Array.isArray(part) ? part.join(" × ") : part)).join(", ");
  return String(value);
}

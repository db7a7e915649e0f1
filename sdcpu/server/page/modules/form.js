/** The form: what is wanted, as the server takes it. It survives a reload. */

import { Loras, Styles } from "./additions.js";
import { make, one } from "./elements.js";
import { onLanguage, text } from "./language.js";
import { remember, remembered } from "./memory.js";
import { Models } from "./models.js";
import { Sizes } from "./sizes.js";
import { StartPicture } from "./start_picture.js";

const NUMBERS = ["width", "height", "count", "steps", "cfg_scale", "guidance", "clip_skip"];
const SECOND_PASS = ["hires", "hires_strength", "upscale"];
const WORDS = ["prompt", "negative_prompt", "seed", "quality", "sampler", "scheduler", "upscaler", "seamless", "decoder"];
const BESIDE = ["init_image", "ref_images", "mask_image", "strength", "extension", "preview"]; // kept as `start`
const FIELDS = [...NUMBERS, ...SECOND_PASS, ...WORDS];
const NUMERIC = new Set([...NUMBERS, ...SECOND_PASS]);

/** Says "change" when something else is wanted. */
export class Form extends EventTarget {
  element = one("#form");
  models = new Models();
  styles = new Styles();
  loras = new Loras(() => this.#changed());
  sizes = new Sizes(this.element, () => this.#changed());
  start = new StartPicture(() => this.#changed());
  #lists = { samplers: [], schedulers: [], upscalers: [] };
  #planned = null;

  constructor() {
    super();
    this.element.addEventListener("input", (event) => {
      if (event.target.name === "model") this.#modelChosen();
      if (event.target.name) this.#changed();
    });
    this.element.addEventListener("change", (event) => {
      if (event.target.closest("#styles, #loras")) this.#changed();
    });
    this.element.addEventListener("invalid", (event) => {
      for (let fold = event.target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    }, true);
    one("#reset").addEventListener("click", () => this.write({ prompt: this.#field("prompt").value }));
    this.start.addEventListener("recipe", () => this.#repeat(this.start.value.recipe));
    onLanguage(() => this.#render());
  }

  /** Offer what the server has, then put back what was in the form before. */
  offer({ about, models, styles, loras, samplers, schedulers, upscalers }) {
    this.#lists = { samplers, schedulers, upscalers };
    this.#field("count").max = about.limits?.most_pictures ?? 16;
    this.styles.offer(styles);
    this.loras.offer(loras);
    this.models.offer(models, about.default_model);
    this.sizes.offer(this.models.chosen?.defaults ?? { width: 512, height: 512 });
    this.#render();
    try {
      this.write(remembered("form", {}));
    } catch {
      this.write({}); // written by another version of the page
    }
  }

  /** Renew what is known of the models, as when one was downloaded. */
  offerModels(models, own) {
    this.models.offer(models, own);
  }

  /** The body of a job: {kind, model, request}; what is left open is left out. */
  wanted() {
    const values = Object.fromEntries(FIELDS.map((name) => [name, this.#read(name)]).filter(([, value]) => value !== null));
    if (!values.hires) delete values.hires_strength;
    if (!values.hires && !values.upscale) delete values.upscaler;
    if (this.styles.value.length) values.styles = this.styles.value;
    if (this.loras.value.length) values.loras = this.loras.value;
    const request = { prompt: "", preview: "auto", ...values, ...this.start.request() };
    return { kind: "picture", model: this.#field("model").value || null, request };
  }

  /** Fill the form with a request; what it leaves open is left open here. */
  write({ model, start, ...request }) {
    for (const name of FIELDS) this.#put(name, request[name]);
    this.styles.value = request.styles ?? [];
    this.loras.value = request.loras ?? [];
    this.models.choose(model ?? "");
    this.start.value = start ?? null;
    this.#offerModel();
    this.sizes.mark();
    this.#foldNegative();
    one("#more").open ||= this.#hasMore();
    this.#changed();
  }

  /** What a finished picture was asked for, to draw it again or something near it. */
  use(job, result) {
    const { init_image, ref_images = [], mask_image: mask, strength, extension, count: _, ...request } = job.request;
    const recipe = result.recipe ?? {};
    const picture = init_image ?? ref_images[0];
    const edit = ref_images.length > 0;
    const start = picture ? { picture, mask, strength, extension, edit, ...this.start.sizeOf(picture) } : null;
    this.write({ ...request, model: job.model ?? recipe.model, seed: result.seed, start });
    this.element.scrollIntoView({ block: "start" });
    this.#field("prompt").focus({ preventScroll: true });
  }

  /** Ask for what a picture's file says of itself, without the picture. */
  #repeat({ model, ...recipe }) {
    this.write({ ...recipe, model, count: 1 });
  }

  /** Show in the open fields what the plan fills in. */
  planned(request) {
    this.#planned = request;
    const values = request ?? this.models.chosen?.defaults ?? {};
    for (const name of ["steps", "cfg_scale", "guidance", "width", "height"]) {
      this.#field(name).placeholder = values[name] ?? "";
    }
    for (const name of ["sampler", "scheduler"]) {
      const [open] = this.#field(name).options;
      open.textContent = values[name] ? text("form.suits", { name: values[name] }) : text("form.as_suits");
    }
    this.#foldNegative();
  }

  #field = (name) => this.element.elements[name];

  #read(name) {
    const value = this.#field(name).value.trim();
    if (value === "") return null;
    return NUMERIC.has(name) ? Number(value) : value; // a seed stays text: it may be too long for a number
  }

  #put(name, value) {
    const otherwise = { quality: "balanced", count: 1 }[name] ?? "";
    this.#field(name).value = value ?? otherwise;
  }

  #changed() {
    const { model, request } = this.wanted();
    const kept = Object.fromEntries(Object.entries(request).filter(([name]) => !BESIDE.includes(name)));
    remember("form", { ...kept, model, start: this.start.value });
    this.dispatchEvent(new Event("change"));
  }

  #modelChosen() {
    this.models.describe();
    if (this.#offerModel()) this.sizes.clear();
    this.#foldNegative();
  }

  #offerModel() {
    const model = this.models.chosen;
    this.start.offer({ edits: model?.edits });
    const defaults = model?.defaults;
    return defaults ? this.sizes.offer(defaults) : false;
  }

  /** The negative prompt is there where the model heeds it, or where something is written in it. */
  #foldNegative() {
    const scale = this.#read("cfg_scale") ?? this.#planned?.cfg_scale ?? this.models.chosen?.defaults?.cfg_scale ?? 1;
    const heeded = scale !== 1;
    const written = this.#read("negative_prompt") !== null;
    one("#negative-hint").hidden = heeded;
    if (heeded || written) one("#negative").open = true;
    else if (document.activeElement !== this.#field("negative_prompt")) one("#negative").open = false;
  }

  #hasMore() {
    const names = ["steps", "cfg_scale", "guidance", "clip_skip", "sampler", "scheduler", "hires", "upscale", "seamless", "decoder"];
    return names.some((name) => this.#read(name) !== null) || this.styles.value.length > 0 || this.loras.value.length > 0;
  }

  #render() {
    this.#choices("sampler", this.#lists.samplers, text("form.as_suits"));
    this.#choices("scheduler", this.#lists.schedulers, text("form.as_suits"));
    this.#choices("upscaler", this.#lists.upscalers, text("form.upscaler_usual"));
    this.models.render();
    this.sizes.render();
    this.loras.render();
    this.start.render();
    if (this.#planned) this.planned(this.#planned);
  }

  #choices(name, list, open) {
    const field = this.#field(name);
    const value = field.value;
    const options = list.map((entry) => make("option", { value: entry.name, title: entry.summary ?? entry.use ?? "" }, entry.name));
    field.replaceChildren(make("option", { value: "" }, open), ...options);
    field.value = value;
  }
}


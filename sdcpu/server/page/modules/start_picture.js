/** The picture to start from: brought by file, drop or paste, or taken from the gallery. */

import { button, fill, icon, make, one } from "./elements.js";
import { percent } from "./figures.js";
import { jobs } from "./jobs.js";
import { text } from "./language.js";
import { tellError } from "./notices.js";
import { pictureAddress, upload } from "./server.js";

const USUAL_STRENGTH = 0.75;
const SIDES = ["left", "top", "right", "bottom"];

/** The start picture of the form; says "paint" when its mask is to be painted, "recipe" when its own is wanted. */
export class StartPicture extends EventTarget {
  #value = null;
  #modelEdits = false;
  #given = one("#start-given");

  constructor(onChange) {
    super();
    this.onChange = onChange;
    const file = one("#start-file");
    one("#start-choose").addEventListener("click", () => file.click());
    file.addEventListener("change", () => {
      if (file.files[0]) this.bring(file.files[0]);
      file.value = "";
    });
    document.addEventListener("paste", (event) => this.#bringFirst(event.clipboardData, event));
    document.addEventListener("dragover", (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      document.body.classList.add("dragging");
    });
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) document.body.classList.remove("dragging");
    });
    document.addEventListener("drop", (event) => {
      document.body.classList.remove("dragging");
      this.#bringFirst(event.dataTransfer, event);
    });
  }

  /** Say whether the model changes a picture as the prompt says, without a mask or a strength. */
  offer({ edits }) {
    if (this.#modelEdits === Boolean(edits)) return;
    this.#modelEdits = Boolean(edits);
    this.render();
  }

  /** {picture, width, height, mask, strength, extension, edit, recipe}, or null; `recipe` is what the file told. */
  get value() {
    return this.#value;
  }

  set value(value) {
    this.#value = value && { mask: null, strength: null, extension: [0, 0, 0, 0], ...value };
    this.render();
  }

  /** What a request says of it. */
  request() {
    if (!this.#value) return {};
    const { picture, mask, strength, extension } = this.#value;
    if (this.#isEdited) return { ref_images: [picture] };
    const wider = extension?.some((pixels) => pixels > 0);
    return {
      init_image: picture,
      ...(mask ? { mask_image: mask } : {}),
      ...(strength === null || strength === undefined ? {} : { strength }),
      ...(wider ? { extension } : {}),
    };
  }

  /** Take a picture file to the server and start from it. */
  async bring(file) {
    one("#start-empty").setAttribute("aria-busy", "true");
    try {
      const { id, width, height, recipe } = await upload(file);
      this.#change({ picture: `upload:${id}`, width, height, recipe });
    } catch (error) {
      tellError(error);
    } finally {
      one("#start-empty").removeAttribute("aria-busy");
    }
  }

  /** Start from a finished picture. */
  take(job, result) {
    const { width, height, index } = result;
    this.#change({ picture: `result:${job.id}/${index}`, width, height });
    one("#start").scrollIntoView({ block: "center" });
  }

  /** Paint only where this mask is white; null: everywhere. */
  setMask(mask) {
    this.#change({ ...this.#value, mask });
  }

  /** Width and height of a picture by the name in a request, as far as it is known here. */
  sizeOf(name) {
    const [job, index] = name.replace(/^result:/, "").split("/");
    const result = jobs.get(job)?.results.find((one) => String(one.index) === index);
    return result ? { width: result.width, height: result.height } : {};
  }

  render() {
    const given = this.#value !== null;
    one("#start-empty").hidden = given;
    this.#given.hidden = !given;
    fill(one("#start-choose"), icon("picture"), text("start.choose"));
    fill(this.#given, given ? this.#shown() : []);
  }

  #shown() {
    const { mask, recipe } = this.#value;
    const remove = button(text("start.remove"), "close", () => this.#change(null), { shown: false });
    const facts = [mask ? text("start.masked") : null, this.#value.width ? `${this.#value.width}×${this.#value.height}` : null];
    const paint = button(text(mask ? "start.mask_again" : "start.mask"), "brush", () => this.dispatchEvent(new Event("paint")), { className: "small", data: { focus: "paint" } });
    const unmask = mask ? button(text("start.unmask"), "close", () => this.setMask(null)) : null;
    const use = recipe ? button(text("picture.use"), "settings", () => this.dispatchEvent(new Event("recipe")), { className: "small" }) : null;
    const ways = this.#isEdited ? [] : [make("div", { className: "tasks" }, paint, unmask, use), this.#strength(), this.#edges()];
    return make("div", { className: "given" },
      make("div", { className: "head" },
        this.#small(),
        make("div", {}, make("strong", {}, text("start.title")), make("p", { className: "hint" }, facts.filter(Boolean).join(" · "))),
        remove),
      this.#modelEdits ? this.#edit() : null,
      ways);
  }

  #small() {
    const { picture, mask, width, extension } = this.#value;
    const lost = () => this.#value?.picture === picture && this.#change(null);
    const image = make("img", { src: pictureAddress(picture), alt: text("start.title"), on: { error: lost } });
    const over = mask ? make("img", { src: pictureAddress(mask), alt: "", className: "mask" }) : null;
    const small = make("div", { className: "small-picture" }, image, over);
    if (width) {
      const [left, top, right, bottom] = extension.map((pixels) => `${Math.min(40, (pixels / width) * 50)}%`);
      small.style.padding = `${top} ${right} ${bottom} ${left}`;
    }
    return small;
  }

  get #isEdited() {
    return this.#modelEdits && this.#value.edit;
  }

  #edit() {
    const choose = (event) => this.#change({ ...this.#value, edit: event.target.checked });
    const input = make("input", { type: "checkbox", checked: Boolean(this.#value.edit), data: { focus: "edit" }, on: { change: choose } });
    return make("label", { className: "row" }, input, text("start.edit"));
  }

  #strength() {
    const strength = this.#value.strength ?? USUAL_STRENGTH;
    const shown = make("span", {}, percent(strength));
    const slide = (event) => {
      this.#value.strength = Number(event.target.value);
      shown.textContent = event.target.ariaValueText = percent(this.#value.strength);
      this.onChange();
    };
    const input = make("input", { type: "range", min: 0.05, max: 1, step: 0.05, value: strength, ariaValueText: percent(strength), data: { focus: "strength" }, on: { input: slide } });
    return make("label", { className: "field" },
      make("span", {}, text("start.strength"), " ", shown), input,
      make("span", { className: "hint ends" }, make("span", {}, text("start.keep")), make("span", {}, text("start.ignore"))));
  }

  #edges() {
    const { extension } = this.#value;
    const inputs = SIDES.map((side, place) => {
      const change = (event) => {
        extension[place] = Math.max(0, Math.round(Number(event.target.value) || 0));
        this.onChange();
        one(".small-picture", this.#given).replaceWith(this.#small());
      };
      const input = make("input", { type: "number", min: 0, max: 4096, step: 1, value: extension[place] || "", placeholder: 0, inputMode: "numeric", on: { input: change } });
      return make("label", {}, text(`start.${side}`), input);
    });
    const open = extension.some((pixels) => pixels > 0);
    return make("details", { className: "fold", open }, make("summary", {}, text("start.extend")),
      make("p", { className: "hint" }, text("start.extend_how")), make("div", { className: "edges" }, inputs));
  }

  #bringFirst(transfer, event) {
    const file = [...(transfer?.files ?? [])].find((one) => one.type.startsWith("image/"));
    if (!file) return;
    event.preventDefault();
    this.bring(file);
  }

  #change(value) {
    this.value = value;
    this.onChange();
  }
}

/** The sizes that suit a model, as buttons; other sizes are typed in. */

import { all, fill, make, one } from "./elements.js";
import { text } from "./language.js";

const PROPORTIONS = [1, 4 / 3, 3 / 2, 16 / 9];
const MULTIPLE = 64; // pixels; what every family can draw

/**
 * Widths and heights with about as many pixels as the model's usual picture, which comes first:
 * then the square, pictures that lie and pictures that stand.
 */
export function suitingSizes(width, height) {
  const pixels = width * height;
  const rounded = (side) => Math.max(MULTIPLE, Math.round(side / MULTIPLE) * MULTIPLE);
  const lying = PROPORTIONS.map((share) => [rounded(Math.sqrt(pixels * share)), rounded(Math.sqrt(pixels / share))]);
  const sizes = [[width, height], ...lying, ...lying.map(([w, h]) => [h, w])];
  return sizes.filter((size, place) => sizes.findIndex((other) => String(other) === String(size)) === place);
}

/** The size of a form: its two inputs, the buttons above them and the one that turns them. */
export class Sizes {
  #form;
  #usual = { width: 512, height: 512 };

  constructor(form, onChange) {
    this.#form = form;
    this.onChange = onChange;
    one("#turn").addEventListener("click", () => {
      const { width, height } = this.#size();
      this.#write(height, width);
    });
    for (const name of ["width", "height"]) form.elements[name].addEventListener("input", () => this.mark());
  }

  /** Offer what suits a model, by its defaults. */
  offer({ width, height }) {
    const { width: before, height: beside } = this.#usual;
    const changed = before !== width || beside !== height;
    this.#usual = { width, height };
    if (changed) this.render();
    return changed;
  }

  /** Take the model's usual size. */
  clear() {
    this.#form.elements.width.value = "";
    this.#form.elements.height.value = "";
    this.mark();
  }

  render() {
    const { width, height } = this.#usual;
    fill(one("#sizes"), suitingSizes(width, height).map(([w, h]) => this.#button(w, h)));
    this.#form.elements.width.placeholder = width;
    this.#form.elements.height.placeholder = height;
    this.mark();
  }

  /** Mark the button of the size that is chosen. */
  mark() {
    const { width, height } = this.#size();
    for (const button of all("#sizes button")) {
      button.setAttribute("aria-pressed", String(button.dataset.size === `${width}x${height}`));
    }
  }

  #size() {
    const { width, height } = this.#form.elements;
    return { width: Number(width.value) || this.#usual.width, height: Number(height.value) || this.#usual.height };
  }

  #button(width, height) {
    const shape = make("span", { className: "shape", "aria-hidden": "true" });
    const longest = Math.max(width, height);
    shape.style.width = `${(width / longest) * 14}px`;
    shape.style.height = `${(height / longest) * 14}px`;
    const label = text("form.size_label", { width, height });
    const properties = { type: "button", "aria-label": label, data: { size: `${width}x${height}`, focus: `${width}x${height}` } };
    return make("button", { ...properties, on: { click: () => this.#write(width, height) } }, shape, `${width}×${height}`);
  }

  #write(width, height) {
    const usual = width === this.#usual.width && height === this.#usual.height;
    this.#form.elements.width.value = usual ? "" : width;
    this.#form.elements.height.value = usual ? "" : height;
    this.mark();
    this.onChange();
  }
}

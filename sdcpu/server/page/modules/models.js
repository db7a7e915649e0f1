/** The choice of a model: what is here, and what would be downloaded. */

import { fill, make, one } from "./elements.js";
import { bytes } from "./figures.js";
import { text } from "./language.js";

/** The models that draw pictures, and the field in which one is chosen. */
export class Models {
  #field = one("#model");
  #models = [];
  #own = null;

  /** Take over what the server lists; `own` is the name that it takes when none is chosen. */
  offer(models, own) {
    this.#models = models.filter((model) => model.kind === "image");
    this.#own = own;
    this.render();
  }

  /** What is chosen, with everything the server says of it; undefined while it is not known. */
  get chosen() {
    return this.#find(this.#field.value || this.#own);
  }

  /** Choose a model by its name; one that the server does not list is added. */
  choose(name) {
    if (name && ![...this.#field.options].some((option) => option.value === name)) {
      this.#field.append(make("option", { value: name }, name));
    }
    this.#field.value = name ?? "";
    this.describe();
  }

  render() {
    const value = this.#field.value;
    const here = this.#models.filter((model) => model.here);
    const away = this.#models.filter((model) => !model.here);
    const own = this.#own ? text("model.own", { name: this.#own }) : text("model.automatic");
    fill(
      this.#field,
      make("option", { value: "" }, own),
      here.length ? make("optgroup", { label: text("model.here") }, here.map((model) => this.#option(model))) : null,
      away.length ? make("optgroup", { label: text("model.away") }, away.map((model) => this.#option(model))) : null,
    );
    this.choose(value);
  }

  /** Say below the field what the chosen model is good for. */
  describe() {
    const model = this.chosen;
    const needs = model?.needs_mask ? "model.needs_mask" : model?.needs_picture ? "model.needs_picture" : null;
    const facts = model ? [model.summary, needs && text(needs), text("model.license", { license: model.license })] : [];
    one("#model-summary").textContent = facts.filter(Boolean).join(" · ");
  }

  #option(model) {
    const size = model.here || !model.size ? "" : ` (${bytes(model.size)})`;
    return make("option", { value: model.name, title: model.summary }, model.name + size);
  }

  #find = (name) => this.#models.find((model) => model.name === name);
}

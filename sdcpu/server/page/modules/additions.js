/** What is added to a prompt or a model by name: styles, and LoRAs with their weights. */

import { all, button, fill, make, one } from "./elements.js";
import { text } from "./language.js";

/** Styles that can be chosen, each on or off. */
export class Styles {
  #place = one("#styles");

  /** Offer these: [{name, summary}]. */
  offer(styles) {
    one("#styles-field").hidden = styles.length === 0;
    fill(this.#place, styles.map(({ name, summary }) => this.#chip(name, summary)));
  }

  get value() {
    return all("input:checked", this.#place).map((input) => input.value);
  }

  set value(names) {
    for (const input of all("input", this.#place)) input.checked = names.includes(input.value);
  }

  #chip(name, summary) {
    const input = make("input", { type: "checkbox", value: name });
    return make("label", { title: summary ?? "" }, input, make("span", {}, name));
  }
}

/** LoRAs that are applied, each with a weight. */
export class Loras {
  #rows = one("#loras");
  #choice = one("#lora-choice");
  #known = [];

  constructor(onChange) {
    this.onChange = onChange;
    one("#lora-add").addEventListener("click", () => {
      if (!this.#choice.value) return;
      this.value = [...this.value.filter(([name]) => name !== this.#choice.value), [this.#choice.value, 1]];
      this.onChange();
    });
  }

  /** Offer these: [{name, summary, here}]. */
  offer(loras) {
    this.#known = loras;
    one("#loras-field").hidden = loras.length === 0;
    this.render();
  }

  render() {
    fill(this.#choice, this.#known.map(({ name, summary }) => make("option", { value: name, title: summary ?? "" }, name)));
    this.value = this.value;
  }

  /** [[name, weight], …] */
  get value() {
    return all("li", this.#rows).map((row) => [row.dataset.name, Number(one("input", row).value)]);
  }

  set value(pairs) {
    fill(this.#rows, pairs.map(([name, weight]) => this.#row(name, weight)));
  }

  #row(name, weight) {
    const properties = { type: "number", value: weight, min: -10, max: 10, step: 0.05, "aria-label": text("form.lora_weight", { name }) };
    const remove = button(text("form.lora_remove", { name }), "close", () => {
      this.value = this.value.filter(([other]) => other !== name);
      this.onChange();
    }, { shown: false });
    return make("li", { data: { name } }, make("span", {}, name), make("input", properties), remove);
  }
}

/** The painter: a mask is painted over the picture, with pointer, finger or keys. */

import { button, fill, make, one } from "./elements.js";
import { text } from "./language.js";
import { tellError } from "./notices.js";
import { pictureAddress, upload } from "./server.js";
import { drawDeed, Strokes, whiteOf } from "./strokes.js";

const SHARPEST = 1536; // pixels along a side of the canvas on the screen
const COLOUR = "#19b3c2";
const SHARE = 0.66; // of the window's height
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Opens in place of the stage, and says "done" with the mask's name, or "closed". */
export class Painter extends EventTarget {
  #place = one("#painter");
  #strokes = null;
  #size = null;
  #canvas = null;
  #tip = null;
  #stroke = null;
  #spot = [0, 0];
  #erases = false;
  #width = 0;

  get isOpen() {
    return !this.#place.hidden;
  }

  /** Paint on the start picture {picture, mask}. */
  async open({ picture, mask }) {
    try {
      const image = await loaded(pictureAddress(picture));
      const [width, height] = [image.naturalWidth, image.naturalHeight];
      const before = mask ? whiteOf(await loaded(pictureAddress(mask)), width, height) : null;
      this.#size = { width, height };
      this.#strokes = new Strokes(before);
      this.#spot = [width / 2, height / 2];
      this.#width = Math.round(Math.max(width, height) / 10);
      this.#erases = false;
      this.#show(image);
    } catch (error) {
      tellError(error);
    }
  }

  close() {
    this.#place.hidden = true;
    one("#stage").hidden = false;
    fill(this.#place);
    this.dispatchEvent(new Event("closed"));
  }

  #show(image) {
    const { width, height } = this.#size;
    const scale = Math.min(1, SHARPEST / Math.max(width, height));
    image.alt = "";
    image.draggable = false;
    this.#canvas = make("canvas", { width: Math.round(width * scale), height: Math.round(height * scale), tabIndex: 0, role: "application", "aria-label": text("painter.canvas") });
    this.#tip = make("span", { className: "tip" });
    const table = make("div", { className: "table" }, image, this.#canvas, this.#tip);
    fill(this.#place, table, this.#brushes(), this.#ends(), make("p", { className: "hint" }, text("painter.how")), make("p", { className: "hint keys" }, text("painter.keys")));
    one("#stage").hidden = true;
    this.#place.hidden = false;
    const shown = Math.min(this.#place.clientWidth / width, (innerHeight * SHARE) / height, Math.max(1.5, 512 / Math.max(width, height)));
    table.style.width = `${Math.round(width * shown)}px`;
    table.style.aspectRatio = `${width} / ${height}`;
    this.#listen();
    this.#redraw();
    this.#canvas.focus({ preventScroll: true });
    this.#place.scrollIntoView({ block: "start" });
  }

  #brushes() {
    const size = make("input", { type: "range", min: 2, max: Math.round(Math.max(this.#size.width, this.#size.height) / 3), value: this.#width, id: "brush-size", on: {
      input: (event) => {
        this.#width = Number(event.target.value);
        this.#point();
      },
    } });
    const mode = (name, erases) => button(text(`painter.${name}`), name, () => this.#mode(erases), { className: "small", "aria-pressed": String(this.#erases === erases), data: { mode: name } });
    const deed = (name, iconName, act) => button(text(`painter.${name}`), iconName, act, { className: "small", data: { deed: name } });
    return make("div", { className: "brushes" },
      mode("brush", false), mode("eraser", true),
      make("label", {}, text("painter.size"), size),
      deed("undo", "undo", () => this.#undo()),
      deed("invert", "invert", () => this.#do({ kind: "invert" })),
      deed("clear", "bin", () => this.#do({ kind: "clear" })));
  }

  #ends() {
    return make("div", { className: "ends" },
      button(text("painter.done"), "check", () => this.#finish(), { className: "main small", data: { deed: "done" } }),
      button(text("painter.cancel"), "close", () => this.close()));
  }

  #listen() {
    const canvas = this.#canvas;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      canvas.setPointerCapture(event.pointerId);
      canvas.focus({ preventScroll: true });
      this.#begin(this.#at(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      const coalesced = event.getCoalescedEvents?.() ?? [];
      for (const part of coalesced.length ? coalesced : [event]) this.#move(this.#at(part));
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(end, () => (this.#stroke = null));
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Where a pointer is, in pixels of the picture. */
  #at(event) {
    const { left, top, width, height } = this.#canvas.getBoundingClientRect();
    return [((event.clientX - left) / width) * this.#size.width, ((event.clientY - top) / height) * this.#size.height];
  }

  #begin(spot) {
    this.#spot = spot;
    this.#stroke = this.#do({ kind: "line", erase: this.#erases, width: this.#width, points: [spot] });
  }

  #move(spot) {
    const before = this.#spot;
    this.#spot = spot;
    this.#point();
    if (!this.#stroke) return;
    this.#stroke.points.push(spot);
    drawDeed(this.#canvas.getContext("2d"), { ...this.#stroke, points: [before, spot] }, this.#scale, COLOUR);
  }

  #key(event) {
    const { width, height } = this.#size;
    const command = event.ctrlKey || event.metaKey;
    if (event.key in ARROWS) {
      const [x, y] = ARROWS[event.key];
      const far = event.shiftKey ? 1 : Math.max(1, this.#width / 4);
      this.#move([Math.min(width, Math.max(0, this.#spot[0] + x * far)), Math.min(height, Math.max(0, this.#spot[1] + y * far))]);
    } else if (event.key === " ") {
      if (this.#stroke) this.#stroke = null;
      else this.#begin(this.#spot);
    } else if (command && event.key === "z") {
      this.#undo();
    } else if (event.key === "Enter" && !command) {
      this.#finish();
    } else if ((event.key === "b" || event.key === "e") && !command) {
      this.#mode(event.key === "e");
    } else {
      return;
    }
    event.preventDefault();
  }

  #mode(erases) {
    this.#erases = erases;
    one('[data-mode="brush"]', this.#place).setAttribute("aria-pressed", String(!erases));
    one('[data-mode="eraser"]', this.#place).setAttribute("aria-pressed", String(erases));
  }

  #do(deed) {
    this.#strokes.add(deed);
    drawDeed(this.#canvas.getContext("2d"), deed, this.#scale, COLOUR);
    return deed;
  }

  #undo() {
    this.#stroke = null;
    this.#strokes.undo();
    this.#redraw();
  }

  #redraw() {
    this.#strokes.draw(this.#canvas, this.#scale, COLOUR);
    this.#point();
  }

  get #scale() {
    return this.#canvas.width / this.#size.width;
  }

  /** Put the ring that shows the brush where it is. */
  #point() {
    const { width, height } = this.#size;
    this.#tip.style.left = `${(100 * this.#spot[0]) / width}%`;
    this.#tip.style.top = `${(100 * this.#spot[1]) / height}%`;
    this.#tip.style.width = `${(100 * this.#width) / width}%`;
    this.#tip.style.aspectRatio = "1";
  }

  async #finish() {
    try {
      const { id } = await upload(await this.#mask());
      this.dispatchEvent(new CustomEvent("done", { detail: `upload:${id}` }));
      this.close();
    } catch (error) {
      tellError(error);
    }
  }

  /** White where it is to be painted, black elsewhere, as large as the picture. */
  #mask() {
    const canvas = new OffscreenCanvas(this.#size.width, this.#size.height);
    this.#strokes.draw(canvas, 1, "#fff");
    const context = canvas.getContext("2d");
    context.globalCompositeOperation = "destination-over";
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    return canvas.convertToBlob({ type: "image/png" });
  }
}

async function loaded(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}

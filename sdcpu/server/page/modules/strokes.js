/** What was painted on a mask, as a list of deeds: it can be drawn at any size, and undone. */

/** Deeds are {kind: "line", erase, width, points}, {kind: "fill", image}, {kind: "clear"} and {kind: "invert"}. */
export class Strokes {
  #deeds = [];

  constructor(image = null) {
    if (image) this.#deeds.push({ kind: "fill", image });
  }

  add(deed) {
    this.#deeds.push(deed);
    return deed;
  }

  undo() {
    return this.#deeds.pop();
  }

  get isEmpty() {
    return this.#deeds.length === 0;
  }

  /** Draw everything in one colour on a canvas that is `scale` times as large as the picture. */
  draw(canvas, scale, colour) {
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    for (const deed of this.#deeds) drawDeed(context, deed, scale, colour);
  }
}

/** Draw one deed over what is there. */
export function drawDeed(context, deed, scale, colour) {
  const { width, height } = context.canvas;
  context.save();
  context.fillStyle = context.strokeStyle = colour;
  if (deed.kind === "clear") {
    context.clearRect(0, 0, width, height);
  } else if (deed.kind === "invert") {
    context.globalCompositeOperation = "xor";
    context.fillRect(0, 0, width, height);
  } else if (deed.kind === "fill") {
    context.drawImage(deed.image, 0, 0, width, height);
    context.globalCompositeOperation = "source-in";
    context.fillRect(0, 0, width, height);
  } else {
    context.globalCompositeOperation = deed.erase ? "destination-out" : "source-over";
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = deed.width * scale;
    context.beginPath();
    const [[x, y], ...others] = deed.points;
    context.moveTo(x * scale, y * scale);
    for (const [left, top] of others.length ? others : [[x, y]]) context.lineTo(left * scale, top * scale);
    context.stroke();
  }
  context.restore();
}

/** A black and white mask as a canvas that is white only where it was white. */
export function whiteOf(image, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0, width, height);
  const pixels = context.getImageData(0, 0, width, height);
  for (let place = 0; place < pixels.data.length; place += 4) pixels.data[place + 3] = pixels.data[place];
  context.putImageData(pixels, 0, 0);
  return canvas;
}

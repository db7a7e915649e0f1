/** The page, put together. */

import { Actions } from "./actions.js";
import { Announcements } from "./announcements.js";
import { Attention } from "./attention.js";
import { fill, make, one } from "./elements.js";
import { Form } from "./form.js";
import { Gallery } from "./gallery.js";
import { jobs } from "./jobs.js";
import { openKeys } from "./keys.js";
import { onLanguage, preferredLanguage, speak, language, text } from "./language.js";
import { openDoor } from "./login.js";
import { tellError } from "./notices.js";
import { Painter } from "./painter.js";
import { Plan } from "./plan.js";
import { Queue } from "./queue.js";
import * as server from "./server.js";
import { Stage } from "./stage.js";
import { openTheme } from "./theme.js";

const LISTS = ["models", "styles", "loras", "samplers", "schedulers", "upscalers"];

await speak(preferredLanguage());
openTheme();

const actions = new Actions();
const form = new Form();
const plan = new Plan();
const stage = new Stage(actions);
const gallery = new Gallery(stage);
const painter = new Painter();
const announcements = new Announcements();
const connection = one("#connection");
let isFilled = false;

new Queue(actions, stage);
new Attention();
actions.serve(form, stage);
openKeys({ form, stage, painter, gallery });
openDoor(() => announcements.listen());

form.addEventListener("change", () => isFilled && plan.of(form.wanted()));
form.element.addEventListener("submit", (event) => {
  event.preventDefault();
  actions.draw();
});
form.start.addEventListener("paint", () => painter.open(form.start.value));
painter.addEventListener("done", (event) => form.start.setMask(event.detail));
painter.addEventListener("closed", () => one('[data-focus="paint"]')?.focus());
plan.addEventListener("planned", (event) => form.planned(event.detail?.request ?? null));

announcements.addEventListener("announcement", (event) => jobs.hear(event.detail));
announcements.addEventListener("found", () => {
  say("");
  refresh();
});
announcements.addEventListener("lost", () => {
  say("connection.lost");
  server.about().catch(() => {}); // it may be only a token that is missing: then the door opens
});
jobs.addEventListener("change", ({ detail }) => {
  if (detail.kind === "done" && isFilled) renewModels();
});

const chooser = one("#language");
chooser.value = language();
chooser.addEventListener("change", () => speak(chooser.value, { chosen: true }));
onLanguage(labelDraw);
labelDraw();
announcements.listen();

/** Read what may have changed while nothing was heard. */
async function refresh() {
  try {
    if (!isFilled) {
      const [about, ...lists] = await Promise.all([server.about(), ...LISTS.map((name) => server.list(name))]);
      plan.mayDownload = about.downloads_allowed;
      form.offer({ about, ...Object.fromEntries(LISTS.map((name, place) => [name, lists[place]])) });
      isFilled = true;
      one("#draw").disabled = false;
    }
    await jobs.read();
    plan.of(form.wanted());
  } catch (error) {
    if (error.code !== "unreachable") tellError(error);
  }
}

/** After a picture it is known how long it takes, and its model is here. */
async function renewModels() {
  plan.of(form.wanted());
  try {
    const [about, models] = await Promise.all([server.about(), server.list("models")]);
    form.offerModels(models, about.default_model);
  } catch {
    // The connection is lost; everything is read again when it is found.
  }
}

function say(key) {
  connection.dataset.text = key;
  connection.textContent = key && text(key);
  connection.classList.toggle("lost", key !== "");
}

function labelDraw() {
  fill(one("#draw"), text("form.draw"), make("kbd", { "aria-hidden": "true" }, text("form.draw_key")));
}

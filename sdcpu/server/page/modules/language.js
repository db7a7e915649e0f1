/** The language of the page: its texts (languages/*.json) and how it writes numbers. */

import { all } from "./elements.js";
import { remember, remembered } from "./memory.js";

export const LANGUAGES = ["en", "de"];

const listeners = [];
const fallback = {};
let texts = {};
let current = "en";

/** The text under a key, with its {places} filled; `count` chooses between "key.one" and "key.other". */
export function text(key, places = {}) {
  const rule = "count" in places ? `${key}.${new Intl.PluralRules(current).select(places.count)}` : key;
  const found = texts[rule] ?? fallback[rule] ?? texts[key] ?? fallback[key] ?? key;
  return found.replace(/\{(\w+)\}/g, (whole, name) => places[name] ?? whole);
}

/** Whether there is a text under a key. */
export const hasText = (key) => key in texts || key in fallback;

/** The language in use, such as "de". */
export const language = () => current;

/** Call `listener` whenever the language was changed. */
export const onLanguage = (listener) => listeners.push(listener);

/** The language that was chosen before, else the first one of the browser's that we have. */
export function preferredLanguage() {
  const wanted = [remembered("language"), ...navigator.languages.map((name) => name.slice(0, 2))];
  return wanted.find((name) => LANGUAGES.includes(name)) ?? "en";
}

/** Speak a language from now on; `chosen` by a person is remembered. */
export async function speak(name, { chosen = false } = {}) {
  if (!("skip" in fallback)) Object.assign(fallback, await load("en"));
  texts = name === "en" ? fallback : await load(name);
  current = name;
  if (chosen) remember("language", name);
  document.documentElement.lang = name;
  translate(document);
  for (const listener of listeners) listener();
}

/** Fill in what an element and those in it say by `data-text`, `data-label`, `data-placeholder`, `data-title`. */
function translate(root) {
  for (const element of all("[data-text]", root)) element.textContent = text(element.dataset.text);
  for (const element of all("[data-label]", root)) element.setAttribute("aria-label", text(element.dataset.label));
  for (const element of all("[data-placeholder]", root)) element.placeholder = text(element.dataset.placeholder);
  for (const element of all("[data-title]", root)) element.title = text(element.dataset.title);
}

async function load(name) {
  const answer = await fetch(`languages/${name}.json`);
  return answer.ok ? answer.json() : {};
}

/** Elements of the page: found, made, filled. */

export const one = (selector, root = document) => root.querySelector(selector);
export const all = (selector, root = document) => [...root.querySelectorAll(selector)];

/**
 * Make an element. Properties are set as properties where the element has them, else as attributes;
 * `on` holds listeners by the name of their event, `data` what goes into the dataset.
 */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (key === "data") {
      Object.assign(element.dataset, value);
    } else if (value === undefined || value === null || value === false) {
      continue;
    } else if (key in element && key !== "list") {
      element[key] = value;
    } else {
      element.setAttribute(key, value === true ? "" : value);
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** An icon of icons.svg, for the eye only. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  picture.setAttribute("class", "icon");
  picture.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `icons.svg#${name}`);
  picture.append(use);
  return picture;
}

/** A button with an icon and a text; without `shown` the text is only said. */
export function button(text, iconName, onClick, { className = "quiet small", shown = true, ...others } = {}) {
  const label = shown ? {} : { "aria-label": text, title: text };
  return make(
    "button",
    { type: "button", className, on: { click: onClick }, ...label, ...others },
    iconName ? icon(iconName) : null,
    shown ? text : null,
  );
}

/** Put these children in place of what is there, keeping the focus on the control with the same `data-focus`. */
export function fill(element, ...children) {
  const active = document.activeElement;
  const focus = element.contains(active) ? active.dataset.focus : undefined;
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
  if (focus) one(`[data-focus="${CSS.escape(focus)}"]`, element)?.focus({ preventScroll: true });
}

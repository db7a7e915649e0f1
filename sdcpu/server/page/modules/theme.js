/** Light or dark: as the system has it, until the switch says otherwise. */

import { fill, icon, make, one } from "./elements.js";
import { onLanguage, text } from "./language.js";
import { remember, remembered } from "./memory.js";

const CHOICES = ["system", "light", "dark"];
const ICONS = { system: "half", light: "sun", dark: "moon" };

/** Take what was chosen before, and let the button go through the choices. */
export function openTheme() {
  const button = one("#theme");
  let choice = remembered("theme", "system");
  const apply = () => {
    if (choice === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    const label = text(`theme.${choice}`);
    button.setAttribute("aria-label", label);
    button.title = label;
    fill(button, icon(ICONS[choice]), make("span", { className: "unseen" }, label));
  };
  button.addEventListener("click", () => {
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
    remember("theme", choice === "system" ? null : choice);
    apply();
  });
  onLanguage(apply);
  apply();
}

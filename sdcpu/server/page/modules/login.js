/** The door: a server that others can reach wants its token first. */

import { one } from "./elements.js";
import { about, door } from "./server.js";

/** Ask for the token whenever the server wants one, and call `onEntered` when it was right. */
export function openDoor(onEntered) {
  const form = one("#login");
  door.addEventListener("login", () => {
    if (!form.hidden) return;
    form.hidden = false;
    one("main").hidden = true;
    form.elements.token.focus();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    one("#login-wrong").hidden = true;
    try {
      // The server keeps the token in a cookie that no script can read.
      await fetch(`./?${new URLSearchParams({ token: form.elements.token.value })}`);
      await about();
    } catch {
      one("#login-wrong").hidden = false;
      return;
    }
    form.elements.token.value = "";
    form.hidden = true;
    one("main").hidden = false;
    onEntered();
  });
}

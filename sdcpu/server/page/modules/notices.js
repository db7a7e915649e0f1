/** What a person has to be told besides: errors with what to do next, and words for screen readers. */

import { button, icon, make, one } from "./elements.js";
import { hasText, text } from "./language.js";

const SHOWN = 5000; // milliseconds; errors stay until they are closed

/** Show an error of the server with its hint. */
export function tellError(error) {
  if (error.status === 401) return; // the door opens by itself
  tell(errorMessage(error), { hint: errorHint(error), wrong: true });
}

/** What happened, in the page's language where it has words for it. */
export const errorMessage = ({ code, message }) => (hasText(`error.${code}`) ? text(`error.${code}`) : message || code);

/** What to do next; "" where nobody knows. */
export function errorHint({ code, hint, retryAfter }) {
  if (retryAfter) return text("error.retry_after", { seconds: retryAfter });
  return hint || (hasText(`hint.${code}`) ? text(`hint.${code}`) : "");
}

/** Show a message at the edge of the page. */
export function tell(message, { hint = "", wrong = false } = {}) {
  const close = () => notice.remove();
  const notice = make("div", { className: wrong ? "notice wrong" : "notice", role: wrong ? "alert" : "status" },
    icon(wrong ? "warning" : "check"),
    make("div", {}, make("p", {}, message), hint ? make("p", { className: "hint" }, hint) : null),
    button(text("notice.close"), "close", close, { shown: false }));
  const same = [...one("#notices").children].find((other) => other.textContent === notice.textContent);
  same?.remove();
  one("#notices").append(notice);
  if (!wrong) setTimeout(close, SHOWN);
}

/** Say something to those who listen to the page. */
export function announce(message) {
  one("#announcer").textContent = message;
}

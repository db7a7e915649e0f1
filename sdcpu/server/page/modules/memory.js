/** What the browser keeps for the next visit; without it, everything works for this visit only. */

const PREFIX = "sdcpu.";

/** What was kept under a name, or `otherwise`. */
export function remembered(name, otherwise = null) {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Keep a plain value under a name; null forgets it. */
export function remember(name, value) {
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // A private window, or a full disk: nothing is kept.
  }
}

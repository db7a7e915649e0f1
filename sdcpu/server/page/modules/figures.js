/** Figures as people read them, in the language of the page. */

import { language, text } from "./language.js";

const number = (value, digits = 0) => new Intl.NumberFormat(language(), { maximumFractionDigits: digits }).format(value);

/** Bytes in the unit that suits them: "615 MB", "2.1 GB". */
export function bytes(value) {
  if (value >= 1e9) return `${number(value / 1e9, 1)} GB`;
  if (value >= 1e6) return `${number(value / 1e6)} MB`;
  return `${number(Math.max(1, value / 1e3))} kB`;
}

/** A span of seconds: "8 s", "2 min 10 s", "1 h 5 min". */
export function duration(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return text("time.seconds", { seconds: number(whole) });
  if (whole < 600) {
    const rest = Math.round((whole % 60) / 10) * 10;
    const minutes = Math.floor(whole / 60) + (rest === 60 ? 1 : 0);
    return rest % 60 ? text("time.minutes_seconds", { minutes, seconds: rest }) : text("time.minutes", { minutes });
  }
  const minutes = Math.round(whole / 60);
  if (minutes < 60) return text("time.minutes", { minutes });
  return text("time.hours", { hours: number(Math.floor(minutes / 60)), minutes: minutes % 60 });
}

/** A part of the whole, 0 to 1, in percent. */
export const percent = (fraction) =>
  new Intl.NumberFormat(language(), { style: "percent", maximumFractionDigits: 0 }).format(fraction);

/** A day and a time, of seconds since 1970. */
export const moment = (seconds) =>
  new Intl.DateTimeFormat(language(), { dateStyle: "medium", timeStyle: "short" }).format(new Date(seconds * 1000));

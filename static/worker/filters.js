// Dates and times on shared pages: the twin of server/filters.py, pinned to it by sync/vectors/filters.json. Neither
// Intl nor Babel formats anything here, because no two versions of them agree. What is missing prints as nothing, and so
// does what is no moment of a year with four digits: no visit is refused for its clock, and none may break a page.

const MINUTE_MS = 60_000;
export const DAY_MS = 24 * 60 * MINUTE_MS;
const CHINESE_WEEKDAYS = ["周日", "周一", "周二", "周三", "周四", "周五", "周六"];
const ENGLISH_WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const ENGLISH_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** @typedef {{ language: string, utc_offset_minutes: number }} Context of the template, as far as filters look */

/** The filters of shared templates, by name. Each is given the context and a value. */
export const dateFilters = {
  /** @param {Context} context */
  day(context, value) {
    const time = typeof value === "string" ? readDay(value) : localTime(context, value);
    return time ? dayText(context, time) : "";
  },

  /** @param {Context} context */
  clock(context, value) {
    const time = localTime(context, value);
    return time ? clockText(time) : "";
  },

  /** @param {Context} context */
  moment(context, value) {
    const time = localTime(context, value);
    if (!time) return "";
    const separator = context.language === "en" ? " " : "";
    return dayText(context, time) + separator + clockText(time);
  },
};

/**
 * The local date as YYYY-MM-DD; "" for what no such date can name.
 * @param {number} moment ms UTC
 * @param {number} utcOffsetMinutes
 */
export function localDate(moment, utcOffsetMinutes) {
  return localTime({ utc_offset_minutes: utcOffsetMinutes }, moment)?.toISOString().slice(0, 10) ?? "";
}

/**
 * @param {string} date YYYY-MM-DD
 * @param {number} days
 */
export function addDays(date, days) {
  const start = readDay(date);
  return start ? new Date(start.getTime() + days * DAY_MS).toISOString().slice(0, 10) : "";
}

/**
 * The start of a real day written YYYY-MM-DD, or null. Browsers disagree about what Date.parse makes of 31 February.
 * @param {string} text
 * @returns {Date | null}
 */
export function readDay(text) {
  const match = /^([1-9]\d{3})-(\d\d)-(\d\d)$/.exec(text);
  if (!match) return null;
  const [year, month, day] = match.slice(1).map(Number);
  const date = new Date(Date.UTC(year, month - 1, day));
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day ? date : null;
}

/** A Date whose UTC fields are the local ones; null for what is no moment of a year with four digits. */
function localTime({ utc_offset_minutes }, value) {
  const time = new Date(Number.isInteger(value) ? value + utc_offset_minutes * MINUTE_MS : NaN);
  const year = time.getUTCFullYear();
  return year >= 1000 && year <= 9999 ? time : null;
}

function dayText({ language }, time) {
  const [month, day, weekday] = [time.getUTCMonth(), time.getUTCDate(), time.getUTCDay()];
  if (language === "en") return `${ENGLISH_WEEKDAYS[weekday]} ${day} ${ENGLISH_MONTHS[month]}`;
  return `${month + 1}月${day}日（${CHINESE_WEEKDAYS[weekday]}）`;
}

const clockText = (time) => time.toISOString().slice(11, 16);

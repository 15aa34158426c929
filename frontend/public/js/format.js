// How numbers and times are written, in the reader's locale. Pure.

const money = new Intl.NumberFormat(undefined, { style: "currency", currency: "USD" });
const count = new Intl.NumberFormat();
const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const time = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export const formatMoney = (amount) => money.format(amount);
export const formatCount = (number) => count.format(number);
export const formatTime = (millis) => time.format(millis);

/** An RFC 3339 timestamp for people; one that cannot be read is shown as it came. */
export function formatTimestamp(timestamp) {
  const millis = Date.parse(timestamp);
  return Number.isNaN(millis) ? String(timestamp) : dateTime.format(millis);
}

export const plural = (number, one, many) => `${formatCount(number)} ${number === 1 ? one : many}`;

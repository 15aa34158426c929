// When to try again. Pure: time and chance are passed in.

/** How often one click is sent before the person is asked. */
export const BUY_ATTEMPTS = 4;

/** How often the history is asked for an accepted purchase before the person is asked. */
export const FOLLOW_POLLS = 20;

// A service that asks for more patience than this gets it from the person, not from a timer.
const LONGEST_WAIT = 15_000;

/**
 * Milliseconds until the next attempt: exponential with jitter, so that many browsers do not
 * come back at once, and never earlier than the server's Retry-After.
 */
export function retryDelay(attempt, retryAfter, random) {
  const grown = 500 * 2 ** (attempt - 1);
  const jittered = grown / 2 + (grown / 2) * random();
  return Math.min(Math.max(jittered, retryAfter ?? 0), LONGEST_WAIT);
}

/** Milliseconds until the history is asked again; the usual purchase is there at the first look. */
export function pollDelay(poll) {
  return Math.min(150 * 1.6 ** poll, 5_000);
}

/** A Retry-After header (seconds or a date) in milliseconds, or null if there is none to obey. */
export function parseRetryAfter(header, now) {
  if (header === null || header === undefined || header.trim() === "") return null;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return seconds >= 0 ? seconds * 1_000 : null;
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}

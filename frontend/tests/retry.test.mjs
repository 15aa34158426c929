import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRetryAfter, pollDelay, retryDelay } from "../public/js/retry.js";

const always = (value) => () => value;

test("retries wait longer each time, with jitter", () => {
  assert.deepEqual([1, 2, 3].map((attempt) => retryDelay(attempt, null, always(1))), [500, 1000, 2000]);
  assert.deepEqual([1, 2, 3].map((attempt) => retryDelay(attempt, null, always(0))), [250, 500, 1000]);
});

test("a retry never comes before the service's Retry-After, and never waits for ever", () => {
  assert.equal(retryDelay(1, 3_000, always(1)), 3_000);
  assert.equal(retryDelay(1, 86_400_000, always(1)), 15_000);
});

test("the history is asked soon at first and every five seconds at last", () => {
  assert.equal(pollDelay(0), 150);
  assert.ok(pollDelay(1) > pollDelay(0));
  assert.equal(pollDelay(30), 5_000);
});

test("Retry-After is read as seconds and as a date", () => {
  const now = Date.parse("2026-01-31T18:00:00Z");
  assert.equal(parseRetryAfter("2", now), 2_000);
  assert.equal(parseRetryAfter("Sat, 31 Jan 2026 18:00:05 GMT", now), 5_000);
  assert.equal(parseRetryAfter("Sat, 31 Jan 2026 17:00:00 GMT", now), 0);
  for (const odd of [null, undefined, "", " ", "soon", "-1"]) assert.equal(parseRetryAfter(odd, now), null, String(odd));
});

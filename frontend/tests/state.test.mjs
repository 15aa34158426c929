import assert from "node:assert/strict";
import { test } from "node:test";
import { appendOlder, initialState, isBuying, mergeNewest, parseName, parseUserId, reduce, shownOrders } from "../public/js/state.js";

const purchases = (...ids) => ids.map((id) => ({ id }));
const page = (ids, nextCursor = null) => ({ summary: {}, purchases: purchases(...ids), nextCursor });
const after = (...events) => events.reduce(reduce, initialState);
const identified = { type: "identified", identity: { username: "ada", userId: "u1" } };
const asked = { type: "history-asked" };
const came = (page) => ({ type: "history-came", page, at: 1 });
const failed = { type: "history-failed", error: new Error("down") };

test("an outage before anything was seen is a failure, not an empty history", () => {
  assert.equal(after(identified, asked, failed).history.status, "failed");
});

test("an outage after an empty history is a failure too", () => {
  assert.equal(after(identified, asked, came(null), asked, failed).history.status, "failed");
});

test("an outage later keeps what was shown and calls it old", () => {
  const { history } = after(identified, asked, came(page(["a"])), asked, failed);
  assert.equal(history.status, "stale");
  assert.deepEqual(history.page.purchases, purchases("a"));
});

test("the next answer clears the error", () => {
  const { history } = after(identified, failed, came(page(["a"])));
  assert.equal(history.status, "ready");
  assert.equal(history.error, null);
});

test("another person starts with nothing of the last one", () => {
  const { history } = after(identified, came(page(["a"])), { type: "identified", identity: { username: "b", userId: "u2" } });
  assert.equal(history.status, "loading");
  assert.equal(history.page, null);
});

test("a fresh first page keeps the older pages it reaches", () => {
  const merged = mergeNewest(page(["c", "b", "a", "0"], "older"), page(["d", "c", "b"], "fresh"));
  assert.deepEqual(merged.purchases, purchases("d", "c", "b", "a", "0"));
  assert.equal(merged.nextCursor, "older");
});

test("a fresh first page that does not reach the old ones replaces them, so that no gap is hidden", () => {
  const merged = mergeNewest(page(["b", "a"], null), page(["f", "e", "d"], "fresh"));
  assert.deepEqual(merged.purchases, purchases("f", "e", "d"));
  assert.equal(merged.nextCursor, "fresh");
});

test("older pages are appended without repeating a purchase", () => {
  const appended = appendOlder(page(["c", "b"], "x"), page(["b", "a"], null));
  assert.deepEqual(appended.purchases, purchases("c", "b", "a"));
  assert.equal(appended.nextCursor, null);
});

test("a next page that no longer follows what is shown is dropped", () => {
  const { history } = after(
    identified,
    came(page(["b"], "one")),
    { type: "more-asked" },
    came(page(["z"], "two")),
    { type: "more-came", page: page(["a"]), cursor: "one" },
  );
  assert.deepEqual(history.page.purchases, purchases("z"));
  assert.equal(history.loadingMore, false);
});

test("an accepted order is stored once the history shows it", () => {
  const order = { key: "k", userId: "u1", status: "accepted", purchase: { id: "p" } };
  const before = after(identified, { type: "order-added", order });
  assert.equal(reduce(before, came(page(["x"]))).orders[0].status, "accepted");
  assert.equal(reduce(before, came(page(["x", "p"]))).orders[0].status, "stored");
});

test("a second click waits only while the first is under way", () => {
  const status = (status) => isBuying(after(identified, { type: "order-added", order: { key: "k", userId: "u1", status } }));
  assert.deepEqual(["sending", "waiting"].map(status), [true, true]);
  assert.deepEqual(["accepted", "unknown", "refused", "stored"].map(status), [false, false, false, false]);
});

test("open orders are all shown, of the stored ones the last three", () => {
  const statuses = ["stored", "unknown", "stored", "stored", "stored", "accepted"];
  const orders = statuses.map((status, key) => ({ type: "order-added", order: { key, userId: "u1", status } }));
  assert.deepEqual(shownOrders(after(identified, ...orders)).map((one) => one.key), [5, 4, 3, 2, 1]);
});

test("names are trimmed, not empty, at most a hundred characters, and visible", () => {
  assert.deepEqual(parseName("  ada  ", "username"), { value: "ada" });
  assert.deepEqual(parseName("🦀".repeat(100), "username"), { value: "🦀".repeat(100) });
  for (const wrong of ["", "   ", "x".repeat(101), "a\u0000b", "a\nb", "a\u202eb"]) {
    assert.ok(parseName(wrong, "username").error, JSON.stringify(wrong));
  }
});

test("a user id of dots would be another address", () => {
  for (const wrong of [".", " .. "]) assert.ok(parseUserId(wrong).error);
  assert.deepEqual(parseUserId("..."), { value: "..." });
});

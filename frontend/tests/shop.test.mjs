import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError } from "../public/js/api.js";
import { createMemory } from "../public/js/memory.js";
import { BUY_ATTEMPTS, FOLLOW_POLLS } from "../public/js/retry.js";
import { createShop } from "../public/js/shop.js";
import { createStore } from "../public/js/state.js";

const ADA = { username: "ada", userId: "u1" };
const BOUGHT = { id: "p1", item: "Laptop", price: 999.99, timestamp: "2026-01-31T18:00:00Z", partition: 1, offset: 42 };
const PAGE = { summary: {}, purchases: [{ id: "p1" }], nextCursor: null };

const lost = () => new ApiError("lost", { outcome: "unknown", retryable: true });
const refused = (more = {}) => new ApiError("refused", { outcome: "refused", retryable: false, ...more });

/** A shop whose API gives the answers in turn (the last one again and again) and whose time only counts. */
function shopWith({ buy = [BOUGHT], history = [null], stored = fakeStorage() }) {
  const sent = { buy: [], history: [] };
  const next = (answers, calls) => async (...call) => {
    calls.push(call);
    const answer = answers[Math.min(calls.length, answers.length) - 1];
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const store = createStore();
  const waits = [];
  const said = [];
  let keys = 0;
  const shop = createShop({
    api: { buy: next(buy, sent.buy), history: next(history, sent.history) },
    store,
    memory: createMemory(() => stored),
    wait: async (millis) => void waits.push(millis),
    newKey: () => `key-${(keys += 1)}`,
    announce: (text) => said.push(text),
    now: () => 0,
    random: () => 1,
  });
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  return { shop, store, sent, waits, said, stored, settled };
}

function fakeStorage() {
  const values = new Map();
  return { getItem: (name) => values.get(name) ?? null, setItem: (name, value) => values.set(name, value), removeItem: (name) => values.delete(name) };
}

test("a purchase is accepted, then followed until the history shows it", async () => {
  const { shop, store, settled, said } = shopWith({ history: [null, null, PAGE] });
  await shop.identify(ADA);
  await shop.buy();
  assert.equal(store.state.orders[0].purchase.offset, 42);
  await settled();
  assert.equal(store.state.orders[0].status, "stored");
  assert.deepEqual(said, ["Accepted: Laptop for $999.99.", "Stored: Laptop is in your history."]);
});

test("a lost answer is retried with the same key, and every click has its own", async () => {
  const { shop, store, sent } = shopWith({ buy: [lost(), lost(), BOUGHT] });
  await shop.identify(ADA);
  await shop.buy();
  await shop.buy();
  assert.deepEqual(sent.buy.map(([{ key }]) => key), ["key-1", "key-1", "key-1", "key-2"]);
  assert.deepEqual(store.state.orders.map((one) => one.status), ["accepted", "accepted"]);
});

test("Retry-After is honoured", async () => {
  const { shop, waits } = shopWith({ buy: [refused({ retryable: true, retryAfter: 4_000 }), BOUGHT] });
  await shop.identify(ADA);
  await shop.buy();
  assert.equal(waits[0], 4_000);
});

test("after the last attempt the outcome is unknown, and the person's retry uses the key again", async () => {
  const { shop, store, sent } = shopWith({ buy: [...Array(BUY_ATTEMPTS).fill(lost()), BOUGHT] });
  await shop.identify(ADA);
  await shop.buy();
  assert.equal(sent.buy.length, BUY_ATTEMPTS);
  assert.equal(store.state.orders[0].status, "unknown");
  await shop.retry("key-1");
  assert.equal(store.state.orders[0].status, "accepted");
  assert.deepEqual(new Set(sent.buy.map(([{ key }]) => key)), new Set(["key-1"]));
});

test("a refusal is final at once and is called one", async () => {
  const { shop, store, sent } = shopWith({ buy: [refused()] });
  await shop.identify(ADA);
  await shop.buy();
  assert.equal(sent.buy.length, 1);
  assert.equal(store.state.orders[0].status, "refused");
});

test("a refusal after a lost answer does not make the purchase undone", async () => {
  const { shop, store } = shopWith({ buy: [lost(), refused()] });
  await shop.identify(ADA);
  await shop.buy();
  assert.equal(store.state.orders[0].status, "unknown");
});

test("an order without an answer survives the page, and is not sent again by itself", async () => {
  const stored = fakeStorage();
  const first = shopWith({ buy: [lost()], stored });
  await first.shop.identify(ADA);
  await first.shop.buy();

  const second = shopWith({ stored });
  second.shop.start();
  assert.equal(second.sent.buy.length, 0);
  assert.deepEqual([second.store.state.orders[0].status, second.store.state.orders[0].key], ["unknown", "key-1"]);
  await second.shop.retry("key-1");
  assert.equal(second.sent.buy[0][0].key, "key-1");

  const third = shopWith({ stored });
  third.shop.start();
  assert.deepEqual(third.store.state.orders, [], "an answered order is not remembered");
  assert.deepEqual(third.store.state.identity, ADA);
});

test("storage that refuses makes the page forgetful, not broken", async () => {
  const refusing = new Proxy({}, { get: () => () => { throw new Error("denied"); } });
  const { shop, store } = shopWith({ stored: refusing });
  shop.start();
  await shop.identify(ADA);
  await shop.buy();
  assert.equal(store.state.orders[0].status, "accepted");
});

test("following ends: the purchase is then late, not lost", async () => {
  const { shop, store, sent, settled } = shopWith({ history: [null] });
  await shop.identify(ADA);
  await shop.buy();
  while (!store.state.orders[0].late) await settled();
  assert.equal(store.state.orders[0].status, "accepted");
  assert.equal(sent.history.length, FOLLOW_POLLS + 1);
});

test("an outage while following is shown and the following goes on", async () => {
  const { shop, store, settled } = shopWith({ history: [null, lost(), lost(), PAGE] });
  await shop.identify(ADA);
  const seen = new Set();
  store.subscribe(({ history }) => seen.add(history.status));
  await shop.buy();
  await settled();
  assert.ok(seen.has("failed"));
  assert.equal(store.state.history.status, "ready");
  assert.equal(store.state.orders[0].status, "stored");
});

test("a late answer about somebody else is not shown", async () => {
  let answer;
  const { shop, store } = shopWith({ history: [new Promise((resolve) => (answer = resolve)), null] });
  const first = shop.identify(ADA);
  await shop.identify({ username: "bob", userId: "u2" });
  answer(PAGE);
  await first;
  assert.equal(store.state.history.status, "empty");
});

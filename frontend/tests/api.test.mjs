import assert from "node:assert/strict";
import { test } from "node:test";
import { createApi } from "../public/js/api.js";

const json = (status, body, headers = {}) =>
  new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json", ...headers } });

function apiThatAnswers(answer) {
  const calls = [];
  const fetch = async (url, options) => {
    calls.push({ url, ...options });
    return answer();
  };
  return { api: createApi({ fetch, now: () => 0 }), calls };
}

const RECEIPT = {
  success: true,
  purchase_id: "65b000000000000000000001",
  purchase: { username: "ada", user_id: "u 1", item_name: "Laptop", price: 999.99, timestamp: "2026-01-31T18:00:00.123Z" },
  kafka_partition: 1,
  kafka_offset: 42,
};
const ORDER = { username: "ada", userId: "u 1", key: "key-1" };
const PAGE = {
  user_id: "u 1",
  username: "ada",
  total_purchases: 1,
  total_spent: 999.99,
  average_price: 999.99,
  first_purchase_at: "2026-01-31T18:00:00.123Z",
  last_purchase_at: "2026-01-31T18:00:00.123Z",
  items: [{ item_name: "Laptop", count: 1, spent: 999.99 }],
  purchases: [{ _id: "a", item_name: "Laptop", price: 999.99, timestamp: "2026-01-31T18:00:00.123Z" }],
  next_cursor: "abc",
};

const failureOf = (promise) => promise.then(() => assert.fail("it did not fail"), (error) => error);

test("buying sends the names as JSON under the key, and gives back where the purchase lies", async () => {
  const { api, calls } = apiThatAnswers(() => json(201, RECEIPT));
  const purchase = await api.buy(ORDER);
  assert.equal(calls[0].url, "/api/buy");
  assert.equal(calls[0].method, "POST");
  assert.equal(calls[0].headers["Idempotency-Key"], '"key-1"');
  assert.equal(calls[0].headers["Content-Type"], "application/json");
  assert.deepEqual(JSON.parse(calls[0].body), { username: "ada", user_id: "u 1" });
  assert.deepEqual(purchase, {
    id: RECEIPT.purchase_id,
    item: "Laptop",
    price: 999.99,
    timestamp: "2026-01-31T18:00:00.123Z",
    partition: 1,
    offset: 42,
  });
});

test("a lost connection leaves the outcome unknown", async () => {
  const { api } = apiThatAnswers(() => Promise.reject(new TypeError("fetch failed")));
  const error = await failureOf(api.buy(ORDER));
  assert.equal(error.outcome, "unknown");
  assert.equal(error.retryable, true);
});

test("a problem document's words, id and Retry-After are taken over", async () => {
  const { api } = apiThatAnswers(() =>
    json(503, { title: "Unavailable", detail: "The broker did not answer.", request_id: "r-1", retryable: true }, { "Retry-After": "2" }),
  );
  const error = await failureOf(api.buy(ORDER));
  assert.equal(error.message, "The broker did not answer.");
  assert.equal(error.requestId, "r-1");
  assert.equal(error.retryAfter, 2_000);
  assert.equal(error.outcome, "unknown");
});

test("a refusal names the fields", async () => {
  const { api } = apiThatAnswers(() =>
    json(422, { detail: "Not valid.", retryable: false, errors: [{ pointer: "/username", detail: "is too long" }] }),
  );
  const error = await failureOf(api.buy(ORDER));
  assert.equal(error.outcome, "refused");
  assert.equal(error.retryable, false);
  assert.deepEqual(error.fields, [{ name: "username", detail: "is too long" }]);
});

test("too many requests were not bought and may be sent again", async () => {
  const { api } = apiThatAnswers(() => json(429, { detail: "Slow down." }, { "Retry-After": "1" }));
  const error = await failureOf(api.buy(ORDER));
  assert.deepEqual([error.outcome, error.retryable, error.retryAfter], ["refused", true, 1_000]);
});

test("a success that says nothing is no success", async () => {
  for (const answer of [() => json(201, {}), () => new Response("<html>", { status: 201 }), () => json(200, RECEIPT)]) {
    const error = await failureOf(apiThatAnswers(answer).api.buy(ORDER));
    assert.equal(error.outcome, "unknown");
  }
});

test("a page of history is asked for with the user's id as it is and the cursor", async () => {
  const { api, calls } = apiThatAnswers(() => json(200, PAGE));
  const page = await api.history("a/b ü?", "c+d");
  assert.equal(calls[0].url, "/api/purchases/a%2Fb%20%C3%BC%3F?limit=20&cursor=c%2Bd");
  assert.equal(page.summary.spent, 999.99);
  assert.equal(page.purchases[0].id, "a");
  assert.equal(page.nextCursor, "abc");
});

test("only the service's own 404 means that there are no purchases", async () => {
  assert.equal(await apiThatAnswers(() => json(404, { detail: "No purchases." })).api.history("u"), null);
  const error = await failureOf(apiThatAnswers(() => new Response("<h1>Not Found</h1>", { status: 404 })).api.history("u"));
  assert.equal(error.status, 404);
});

test("a history that is no history is an error", async () => {
  for (const body of [{}, [], { ...PAGE, purchases: [{}] }, { ...PAGE, items: null }, { ...PAGE, total_spent: "1" }]) {
    const error = await failureOf(apiThatAnswers(() => json(200, body)).api.history("u"));
    assert.match(error.message, /does not understand/);
  }
});

// The producer service's API in memory, for trying the frontend without the services:
//   node tests/mock-api.mjs [port]
// It keeps the contract where the page depends on it: one purchase a key, a history that comes a
// little later, problem documents for what is wrong.

import { createServer } from "node:http";
import { randomBytes } from "node:crypto";
import { pathToFileURL } from "node:url";

const CATALOG = [
  ["Laptop", 999.99],
  ["Mechanical keyboard", 129.5],
  ["Coffee grinder", 64.25],
  ["Desk lamp", 39.9],
  ["Notebook", 4.75],
];

export function createMockApi({ storedAfter = 300 } = {}) {
  const purchases = [];
  const byKey = new Map();
  const requests = [];

  const server = createServer(async (request, response) => {
    requests.push({ method: request.method, url: request.url, headers: request.headers });
    const { pathname, searchParams } = new URL(request.url, "http://mock");
    const path = pathname.replace(/^\/api(?=\/)/, "");
    const history = path.match(/^\/(?:purchases|getAllUserBuys)\/([^/]+)$/);
    if (path === "/buy" && request.method === "POST") return buy(request, response);
    if (history !== null) return sendHistory(response, decodeURIComponent(history[1]), searchParams);
    if (path === "/items") return send(response, 200, CATALOG.map(([name, price]) => ({ name, price })));
    if (path === "/stats/stream") return stream(response);
    sendProblem(response, 404, "There is nothing at this address.");
  });

  async function buy(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    let body;
    try {
      body = JSON.parse(Buffer.concat(chunks));
    } catch {
      return sendProblem(response, 400, "The body is not JSON.");
    }
    const errors = ["username", "user_id"]
      .filter((name) => typeof body[name] !== "string" || body[name].trim() === "")
      .map((name) => ({ pointer: `/${name}`, detail: "must have 1 to 100 characters" }));
    if (errors.length > 0) return sendProblem(response, 422, "The purchase is not valid.", { errors });
    const key = `${body.user_id} ${request.headers["idempotency-key"] ?? randomBytes(8).toString("hex")}`;
    if (!byKey.has(key)) byKey.set(key, accept(body));
    send(response, 201, byKey.get(key));
  }

  function accept({ username, user_id }) {
    const [item_name, price] = CATALOG[purchases.length % CATALOG.length];
    const timestamp = new Date().toISOString();
    const purchase = { username, user_id, item_name, price, timestamp };
    const purchase_id = randomBytes(12).toString("hex");
    const kafka_offset = purchases.push({ _id: purchase_id, ...purchase, created_at: timestamp, from: Date.now() + storedAfter }) - 1;
    return { success: true, message: "Purchase accepted", purchase_id, purchase, kafka_partition: kafka_offset % 3, kafka_offset };
  }

  function sendHistory(response, userId, query) {
    const stored = purchases.filter((one) => one.user_id === userId && one.from <= Date.now()).reverse();
    if (stored.length === 0) return sendProblem(response, 404, `No purchases of user ${userId}.`);
    const start = Number(query.get("cursor") ?? 0);
    const end = start + Number(query.get("limit") ?? 100);
    const items = new Map();
    for (const { item_name, price } of stored) {
      const item = items.get(item_name) ?? { item_name, count: 0, spent: 0 };
      items.set(item_name, { item_name, count: item.count + 1, spent: Math.round((item.spent + price) * 100) / 100 });
    }
    const spent = stored.reduce((sum, one) => sum + Math.round(one.price * 100), 0) / 100;
    send(response, 200, {
      user_id: userId,
      username: stored[0].username,
      total_purchases: stored.length,
      total_spent: spent,
      average_price: Math.round((spent / stored.length) * 100) / 100,
      first_purchase_at: stored.at(-1).timestamp,
      last_purchase_at: stored[0].timestamp,
      items: [...items.values()],
      purchases: stored.slice(start, end).map(({ from, ...one }) => one),
      next_cursor: end < stored.length ? String(end) : null,
    });
  }

  function stream(response) {
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
    response.write("event: stats\ndata: {}\n\n");
  }

  return {
    requests,
    purchases,
    /** Starts on loopback and gives the port. */
    listen: (port = 0) => new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(server.address().port))),
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

function send(response, status, body, type = "application/json") {
  response.writeHead(status, { "Content-Type": type, "X-Request-Id": "mock-request" });
  response.end(JSON.stringify(body));
}

function sendProblem(response, status, detail, more = {}) {
  send(response, status, { type: "about:blank", title: "Problem", status, detail, retryable: false, ...more }, "application/problem+json");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const port = await createMockApi().listen(Number(process.argv[2] ?? 8000));
  console.log(`mock API on http://127.0.0.1:${port}`);
}

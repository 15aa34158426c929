// The site's nginx configuration, in real nginx, before an upstream that does what a test needs.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { createMockApi } from "./mock-api.mjs";
import { freePort, startSite, until } from "./site.mjs";

const api = createMockApi();
let site;

before(async () => {
  site = await startSite(`127.0.0.1:${await api.listen()}`);
});

after(async () => {
  await site?.stop();
  await api.close();
});

const get = (path, headers = {}) => fetch(site.url + path, { headers });

test("every answer carries the security headers, an error's too", async () => {
  for (const path of ["/", "/styles.css", "/nope", "/nginx-health", "/api/items", "/api/nope", "/api"]) {
    const response = await get(path);
    await response.text();
    const policy = response.headers.get("content-security-policy");
    assert.match(policy ?? "", /default-src 'none'.*frame-ancestors 'none'.*require-trusted-types-for 'script'/, path);
    assert.doesNotMatch(policy, /unsafe|https?:|\*/, path);
    assert.equal(response.headers.get("x-content-type-options"), "nosniff", path);
    assert.equal(response.headers.get("referrer-policy"), "no-referrer", path);
    assert.match(response.headers.get("x-request-id"), /^[0-9a-f]{32}$/, path);
    assert.equal(response.headers.get("server"), "nginx", `${path} tells a version`);
  }
});

test("an unchanged file is not sent again", async () => {
  const first = await get("/js/main.js");
  await first.text();
  assert.equal(first.headers.get("cache-control"), "no-cache");
  const again = await get("/js/main.js", { "If-None-Match": first.headers.get("etag") });
  assert.equal(again.status, 304);
  assert.equal(await again.text(), "");
});

test("files have their types and go compressed", async () => {
  const types = { "/": "text/html", "/styles.css": "text/css", "/js/main.js": "text/javascript", "/favicon.svg": "image/svg+xml" };
  for (const [path, type] of Object.entries(types)) {
    const response = await get(path);
    await response.text();
    assert.ok(response.headers.get("content-type").startsWith(type), `${path}: ${response.headers.get("content-type")}`);
  }
  const css = await get("/styles.css", { "Accept-Encoding": "gzip" });
  await css.text();
  assert.equal(css.headers.get("content-encoding"), "gzip");
  assert.match(css.headers.get("vary"), /Accept-Encoding/);
});

test("nothing outside the site's directory is served", async () => {
  for (const path of ["/nope", "/../nginx/start.sh", "/%2e%2e/package.json", "/js/"]) {
    const answer = await raw(site.port, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    assert.match(answer, /^HTTP\/1\.1 40[034] /, path);
  }
});

test("api is cut off the path and the rest arrives as it was sent", async () => {
  const paths = {
    "/api/items": "/items",
    "/api/purchases/a%2Fb%20%C3%BC?limit=2&cursor=x%2By": "/purchases/a%2Fb%20%C3%BC?limit=2&cursor=x%2By",
    "/api": "/",
    "/api?x=1": "/?x=1",
    "/api/api/items": "/api/items",
  };
  for (const [sent, arrived] of Object.entries(paths)) {
    await (await get(sent)).text();
    assert.equal(api.requests.at(-1).url, arrived);
  }
  const before = api.requests.length;
  await (await get("/apix")).text();
  assert.equal(api.requests.length, before, "/apix is a file's name, not the service's");
});

test("the service hears who asked, and the request has one id everywhere", async () => {
  const response = await get("/api/items", { "X-Request-Id": "from-the-client", traceparent: "00-1-2-01" });
  await response.text();
  const { headers } = api.requests.at(-1);
  assert.equal(headers["x-request-id"], "from-the-client");
  assert.equal(response.headers.get("x-request-id"), "from-the-client");
  assert.equal(headers.traceparent, "00-1-2-01");
  assert.equal(headers["x-forwarded-for"], "127.0.0.1");
  await until(async () => site.log().includes("request_id=from-the-client"));

  await (await get("/api/items", { "X-Request-Id": 'x" {}' })).text();
  assert.match(api.requests.at(-1).headers["x-request-id"], /^[0-9a-f]{32}$/, "what is no id is not taken over");
});

test("a body that is too large is a problem document", async () => {
  const response = await fetch(`${site.url}/api/buy`, { method: "POST", body: "x".repeat(20_000) });
  await assertProblem(response, 413, false);
});

test("what nginx refuses before it looks at the path is a problem document", async () => {
  const long = "x".repeat(9000);
  const cases = {
    [`GET /api/items?${long} HTTP/1.1\r\nHost: x\r\n\r\n`]: 414,
    [`GET /api/items HTTP/1.1\r\nHost: x\r\nX-Long: ${long}\r\n\r\n`]: 431,
    "GET /api/items HTTP/1.1\r\n\r\n": 400,
    "GET /api/items HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n": 400,
    "TRACE /api/items HTTP/1.1\r\nHost: x\r\n\r\n": 405,
  };
  const before = api.requests.length;
  for (const [request, status] of Object.entries(cases)) {
    const [head, body] = (await raw(site.port, request)).split("\r\n\r\n");
    const [line, ...lines] = head.toLowerCase().split("\r\n");
    const headers = new Headers(lines.map((each) => each.split(": ", 2)));
    await assertProblem(new Response(body, { status: Number(line.split(" ")[1]), headers }), status, false);
  }
  assert.equal(api.requests.length, before);
});

test("connections to the service are kept", async () => {
  const sockets = new Set();
  await withUpstream(
    (request, response) => {
      sockets.add(request.socket);
      response.end("{}");
    },
    async (url) => {
      for (let i = 0; i < 10; i += 1) await (await fetch(`${url}/api/items`)).text();
    },
  );
  // Each of nginx's workers has connections of its own.
  assert.ok(sockets.size < 10, `${sockets.size} connections for 10 requests`);
});

test("a service that is gone is a problem document, never html", async () => {
  const lonely = await startSite(`127.0.0.1:${await freePort()}`);
  try {
    const response = await fetch(`${lonely.url}/api/purchases/u`);
    assert.equal(response.headers.get("retry-after"), "1");
    await assertProblem(response, 502, true);
    assert.equal((await fetch(lonely.url)).status, 200, "the page itself is still served");
  } finally {
    await lonely.stop();
  }
});

test("a connection lost half way is a problem document, and the purchase is sent once", async () => {
  let sent = 0;
  await withUpstream(
    (request) => {
      sent += 1;
      request.socket.destroy();
    },
    async (url) => assertProblem(await fetch(`${url}/api/buy`, { method: "POST", body: "{}" }), 502, true),
  );
  assert.equal(sent, 1);
});

test("the service's own errors pass through untouched", async () => {
  const body = JSON.stringify({ title: "Overloaded", detail: "its own words" });
  await withUpstream(
    (request, response) => response.writeHead(503, { "Content-Type": "application/problem+json", "Retry-After": "7" }).end(body),
    async (url) => {
      const response = await fetch(`${url}/api/buy`, { method: "POST", body: "{}" });
      assert.equal(response.status, 503);
      assert.equal(response.headers.get("retry-after"), "7");
      assert.equal(await response.text(), body);
    },
  );
});

test("events pass through while the stream is still open", async () => {
  const response = await get("/api/stats/stream");
  const reader = response.body.getReader();
  const { value } = await reader.read();
  assert.match(new TextDecoder().decode(value), /^event: stats/);
  await reader.cancel();
});

test("a template variable with an odd character is refused before nginx sees it", async () => {
  await assert.rejects(startSite("127.0.0.1:1; } evil {"), /cannot stand in an nginx configuration/);
});

async function assertProblem(response, status, retryable) {
  assert.equal(response.status, status);
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  const body = await response.json();
  assert.equal(body.status, status);
  assert.equal(body.retryable, retryable);
  assert.equal(body.request_id, response.headers.get("x-request-id"));
  assert.ok(body.title !== "" && body.detail !== "");
}

async function withUpstream(handler, use) {
  const server = createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  const own = await startSite(`127.0.0.1:${server.address().port}`);
  try {
    await use(own.url);
  } finally {
    await own.stop();
    server.closeAllConnections();
    server.close();
  }
}

/** A request as bytes: `fetch` would tidy the path up first. */
async function raw(port, request) {
  const socket = connect(port, "127.0.0.1");
  socket.end(request);
  let answer = "";
  for await (const chunk of socket) answer += chunk;
  return answer;
}

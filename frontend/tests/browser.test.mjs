// A person's way through the page, in headless Chromium.
//
//   FRONTEND_URL     the running site; without it, real nginx before the mock API is started here
//   PLAYWRIGHT_CORE  directory of the playwright-core package, where NODE_PATH does not have it
//   CHROMIUM         the browser (default /usr/bin/chromium)

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { createMockApi } from "./mock-api.mjs";
import { startSite, until } from "./site.mjs";

const { chromium } = createRequire(import.meta.url)(process.env.PLAYWRIGHT_CORE ?? "playwright-core");

let stop = async () => {};
let url = process.env.FRONTEND_URL;
let browser;
let context;
let page;
let complaints;

before(async () => {
  if (url === undefined) {
    const api = createMockApi();
    const site = await startSite(`127.0.0.1:${await api.listen()}`);
    url = site.url;
    stop = async () => {
      await site.stop();
      await api.close();
    };
  }
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});

after(async () => {
  await browser?.close();
  await stop();
});

beforeEach(() => open());

afterEach(async () => {
  await context.close();
  assert.deepEqual(complaints, [], "the console, or the content security policy, complained");
});

/** A browser that has never been here. What its console says against the page is collected. */
async function open(options = {}) {
  await context?.close();
  context = await browser.newContext({ locale: "en-US", timezoneId: "UTC", ...options });
  page = await context.newPage();
  page.setDefaultTimeout(15_000);
  complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !isEmptyHistory(message)) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(url);
}

/** By contract a user without purchases is a 404, which the browser itself puts on the console. */
const isEmptyHistory = (message) => message.location().url.includes("/api/purchases/") && message.text().includes("status of 404");

/** The browser itself writes a line for each failed request; where a test breaks them, that is no complaint. */
const expectFailedRequests = () => {
  complaints = complaints.filter((text) => !text.startsWith("Failed to load resource"));
};

const someone = () => `browser-${randomUUID()}`;
const visible = (locator) => locator.waitFor({ state: "visible" });
const order = () => page.locator("#orders .order").first();
const rows = () => page.locator("#purchases tr");

async function identify(userId = someone()) {
  await page.getByLabel("Username").fill("Ada Lovelace");
  await page.getByLabel("User ID").fill(userId);
  await page.getByRole("button", { name: "Continue" }).click();
  return userId;
}

const buy = () => page.getByRole("button", { name: "Buy a random item" }).click();

test("a person buys, sees where it lies, sees it stored, and finds it in the history", async () => {
  await identify();
  await visible(page.getByText("No purchases yet"));
  await buy();
  await visible(order().locator("dl.facts"));
  const [partition, offset, id] = await order().locator("dd").allTextContents();
  assert.match(partition, /^\d+$/);
  assert.match(offset, /^\d+$/);
  assert.match(id, /^[0-9a-f]{24}$/);
  await visible(page.locator('.order[data-status="stored"]'));
  const item = await order().getByRole("heading").textContent();
  const price = await order().locator(".price").textContent();
  assert.match(price, /^\$[\d,]+\.\d\d$/);
  const row = page.locator(`#purchases tr[data-purchase-id="${id}"]`);
  await visible(row);
  assert.equal(await row.locator("th").textContent(), item);
  assert.equal(await row.locator(".number").textContent(), price);
  assert.equal(await page.locator("#total-purchases").textContent(), "1");
  assert.equal(await page.locator("#total-spent").textContent(), price);
  assert.match(await page.locator("#announcer").textContent(), /Accepted: .+Stored: /);
});

test("all of it works by keyboard alone", async () => {
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to your purchases");
  await page.keyboard.press("Tab");
  await page.keyboard.type("Ada");
  await page.keyboard.press("Tab");
  await page.keyboard.type(someone());
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.activeElement.id === "buy");
  await page.keyboard.press("Enter");
  await visible(page.locator('.order[data-status="stored"]'));
  assert.equal(await page.evaluate(() => document.activeElement.id), "buy", "the focus stays where it was");
});

test("who is buying is remembered, and can be changed", async () => {
  const userId = await identify();
  await buy();
  await visible(rows().first());
  await page.reload();
  await visible(page.getByText(userId));
  await visible(rows().first());
  await page.getByRole("button", { name: "Change" }).click();
  await identify();
  await visible(page.getByText("No purchases yet"));
  assert.equal(await rows().count(), 0, "nothing of the other user is left");
});

test("what is missing is said at the field", async () => {
  await page.getByRole("button", { name: "Continue" }).click();
  await visible(page.getByText("Enter a username."));
  assert.equal(await page.evaluate(() => document.activeElement.id), "username");
  assert.equal(await page.locator("#username").getAttribute("aria-invalid"), "true");
});

test("a user id with odd characters has its own history", async () => {
  await identify(`zoë & co/7 %2F ${randomUUID()}`);
  await buy();
  await visible(page.locator('.order[data-status="stored"]'));
  assert.equal(await rows().count(), 1);
});

test("a long history comes in pages, without a gap and without a purchase twice", async () => {
  const userId = someone();
  for (let i = 0; i < 45; i += 1) {
    const response = await fetch(`${url}/api/buy`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ username: "Ada", user_id: userId }),
    });
    assert.equal(response.status, 201);
  }
  await until(async () => (await (await fetch(`${url}/api/purchases/${userId}`)).json()).total_purchases === 45);
  await identify(userId);
  await visible(page.getByText("20 of 45 are shown."));
  assert.equal(await rows().count(), 20);
  const more = page.getByRole("button", { name: "Load more" });
  await more.click();
  await page.waitForFunction(() => document.querySelectorAll("#purchases tr").length === 40);
  await more.click();
  await visible(page.getByText("That is all: 45 purchases."));
  const ids = await rows().evaluateAll((all) => all.map((row) => row.dataset.purchaseId));
  assert.equal(new Set(ids).size, 45);
});

test("an outage is shown as one, never as an empty history, and a retry mends it", async () => {
  await page.route("**/api/purchases/**", (route) =>
    route.fulfill({
      status: 503,
      contentType: "application/problem+json",
      body: JSON.stringify({ title: "Unavailable", detail: "The database is away.", request_id: "req-7", retryable: true }),
    }),
  );
  await identify();
  await visible(page.getByText("Your purchases cannot be shown"));
  await visible(page.getByText("The database is away. (request req-7)"));
  assert.equal(await page.getByText("No purchases yet").isVisible(), false);
  await page.unroute("**/api/purchases/**");
  await page.getByRole("button", { name: "Try again" }).click();
  await visible(page.getByText("No purchases yet"));
  expectFailedRequests();
});

test("a history that was shown stays during an outage, marked as old", async () => {
  await identify();
  await buy();
  await visible(rows().first());
  await page.route("**/api/purchases/**", (route) => route.abort("connectionrefused"));
  await page.getByRole("button", { name: "Refresh" }).click();
  await visible(page.getByText("Not up to date"));
  assert.equal(await rows().count(), 1);
  expectFailedRequests();
});

test("a purchase whose answer was lost is sent again with the same key and bought once", async () => {
  const keys = [];
  await page.route("**/api/buy", async (route) => {
    keys.push(route.request().headers()["idempotency-key"]);
    if (keys.length > 1) return route.continue();
    // The service has it; the browser never hears of it.
    await route.fetch();
    await route.abort("connectionreset");
  });
  await identify();
  await buy();
  await visible(page.locator('.order[data-status="stored"]'));
  assert.equal(keys.length, 2);
  assert.equal(keys[0], keys[1]);
  assert.equal(await page.locator("#total-purchases").textContent(), "1");
  expectFailedRequests();
});

test("a purchase without an answer is called unknown, survives a reload, and its retry buys once", async () => {
  const keys = [];
  await page.route("**/api/buy", (route) => {
    keys.push(route.request().headers()["idempotency-key"]);
    return route.fulfill({ status: 503, contentType: "application/problem+json", body: '{"detail":"The broker is away.","retryable":true}' });
  });
  await identify();
  await buy();
  await visible(page.getByText("It is not known whether this was bought").first());
  await page.reload();
  await visible(page.getByText("The page was left before the answer came"));
  await page.unroute("**/api/buy");
  const sent = page.waitForRequest("**/api/buy");
  await page.getByRole("button", { name: "Retry" }).click();
  assert.equal((await sent).headers()["idempotency-key"], keys[0]);
  await visible(page.locator('.order[data-status="stored"]'));
  assert.equal(await page.locator("#total-purchases").textContent(), "1");
  expectFailedRequests();
});

test("a refusal is shown with its reason and nothing is bought", async () => {
  await page.route("**/api/buy", (route) =>
    route.fulfill({
      status: 422,
      contentType: "application/problem+json",
      body: '{"detail":"The purchase is not valid.","retryable":false,"errors":[{"pointer":"/username","detail":"is taken"}]}',
    }),
  );
  await identify();
  await buy();
  await visible(page.getByText("Not bought. The purchase is not valid. username: is taken"));
  await page.getByRole("button", { name: "Dismiss" }).click();
  await order().waitFor({ state: "detached" });
  expectFailedRequests();
});

test("being offline is said, and the way back is taken by itself", async () => {
  await identify();
  await visible(page.getByText("No purchases yet"));
  await context.setOffline(true);
  await visible(page.getByText("You are offline."));
  await context.setOffline(false);
  await page.getByText("You are offline.").waitFor({ state: "hidden" });
  await visible(page.getByText("No purchases yet"));
});

test("from 320 pixels on nothing needs sideways scrolling, light or dark", async () => {
  for (const colorScheme of ["light", "dark"]) {
    await open({ viewport: { width: 320, height: 640 }, colorScheme, reducedMotion: "reduce" });
    await identify(`a-user-id-without-any-place-to-break-${"x".repeat(60)}`);
    await buy();
    await visible(page.locator('.order[data-status="stored"]').first());
    for (const width of [320, 480, 660, 900, 1190, 1600]) {
      await page.setViewportSize({ width, height: 640 });
      const needed = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(needed <= width, `${needed} pixels are needed at ${width}`);
    }
    const small = await page.locator("button:visible, input:visible").evaluateAll((all) =>
      all.filter((one) => one.getBoundingClientRect().height < 44).map((one) => one.textContent || one.id),
    );
    assert.deepEqual(small, [], "every control can be hit with a thumb");
  }
});

test("the page loads nothing from anywhere else", async () => {
  const hosts = new Set();
  page.on("request", (request) => hosts.add(new URL(request.url()).host));
  await page.reload({ waitUntil: "load" });
  await identify();
  await visible(page.getByText("No purchases yet"));
  assert.deepEqual([...hosts], [new URL(url).host]);
});

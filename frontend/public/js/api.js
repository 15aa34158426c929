// The producer service's HTTP API: the only file that calls fetch. What comes back is checked here,
// so that the rest may rely on its shape; what goes wrong leaves as an ApiError.

import { parseRetryAfter } from "./retry.js";

export const PAGE_SIZE = 20;

// Longer than the services take to give up (10 s), so that it is their word that is shown.
const TIMEOUT = 12_000;

/**
 * A request that did not give what it should.
 *
 * `outcome` says what is known of a purchase: "refused" (it was not made) or "unknown" (it may have
 * been: only the same key may be sent again). `retryable` says whether trying again can help.
 */
export class ApiError extends Error {
  constructor(message, { outcome, retryable, status = null, requestId = null, retryAfter = null, fields = [] }) {
    super(message);
    this.name = "ApiError";
    Object.assign(this, { outcome, retryable, status, requestId, retryAfter, fields });
  }
}

export function createApi({ fetch, base = "/api", now = Date.now }) {
  async function send(path, options) {
    let response;
    let text;
    try {
      response = await fetch(base + path, { ...options, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
      text = await response.text();
    } catch (cause) {
      const slow = cause.name === "TimeoutError";
      throw new ApiError(
        slow ? "The service did not answer in time." : "The service cannot be reached from this browser.",
        { outcome: "unknown", retryable: true },
      );
    }
    return { response, body: parseJson(text) };
  }

  /** Buys a random item. The key names this purchase: sent again, it is the same purchase. */
  async function buy({ username, userId, key }) {
    const { response, body } = await send("/buy", {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": `"${key}"` },
      body: JSON.stringify({ username, user_id: userId }),
    });
    if (response.status !== 201) throw problem(response, body, now());
    if (!isReceipt(body)) throw nonsense(response);
    return {
      id: body.purchase_id,
      item: body.purchase.item_name,
      price: body.purchase.price,
      timestamp: body.purchase.timestamp,
      partition: body.kafka_partition,
      offset: body.kafka_offset,
    };
  }

  /** A page of the user's history, or null if the service says that there are no purchases. */
  async function history(userId, cursor = null) {
    const query = new URLSearchParams({ limit: String(PAGE_SIZE) });
    if (cursor !== null) query.set("cursor", cursor);
    const { response, body } = await send(`/purchases/${encodeURIComponent(userId)}?${query}`, {});
    // Only the service's own word counts: any other 404 is a fault, not an empty history.
    if (response.status === 404 && typeof body?.detail === "string") return null;
    if (response.status !== 200) throw problem(response, body, now());
    if (!isPage(body)) throw nonsense(response);
    return {
      summary: {
        purchases: body.total_purchases,
        spent: body.total_spent,
        average: body.average_price,
        first: body.first_purchase_at,
        last: body.last_purchase_at,
        items: body.items.map((item) => ({ name: item.item_name, count: item.count, spent: item.spent })),
      },
      purchases: body.purchases.map((one) => ({
        id: one._id,
        item: one.item_name,
        price: one.price,
        timestamp: one.timestamp,
      })),
      nextCursor: body.next_cursor ?? null,
    };
  }

  return { buy, history };
}

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The error in an answer: a problem document (RFC 9457) where the service wrote one. */
function problem(response, body, now) {
  const { status } = response;
  const refused = status >= 400 && status < 500 && status !== 408;
  const retryable = body?.retryable ?? (!refused || status === 425 || status === 429);
  const fields = Array.isArray(body?.errors)
    ? body.errors.map((error) => ({ name: String(error.pointer ?? "").split("/").pop(), detail: String(error.detail) }))
    : [];
  return new ApiError(body?.detail ?? body?.title ?? `The service answered with an error (${status}).`, {
    outcome: refused ? "refused" : "unknown",
    retryable: Boolean(retryable),
    status,
    requestId: body?.request_id ?? response.headers.get("X-Request-Id"),
    retryAfter: parseRetryAfter(response.headers.get("Retry-After"), now),
    fields,
  });
}

function nonsense(response) {
  return new ApiError("The service sent an answer that this page does not understand.", {
    outcome: "unknown",
    retryable: true,
    status: response.status,
    requestId: response.headers.get("X-Request-Id"),
  });
}

const isReceipt = (body) =>
  typeof body?.purchase_id === "string" &&
  typeof body.purchase?.item_name === "string" &&
  typeof body.purchase.price === "number" &&
  Number.isInteger(body.kafka_partition) &&
  Number.isInteger(body.kafka_offset);

const isPage = (body) =>
  Array.isArray(body?.purchases) &&
  Array.isArray(body.items) &&
  typeof body.total_purchases === "number" &&
  typeof body.total_spent === "number" &&
  body.purchases.every((one) => typeof one?._id === "string");

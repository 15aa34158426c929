// What happens when: buying with retries, following a purchase into the history, reading the
// history. Knows the store and the API, no DOM; clock, chance and storage are passed in.

import { BUY_ATTEMPTS, FOLLOW_POLLS, pollDelay, retryDelay } from "./retry.js";
import { awaited, isBuying, ordersOf } from "./state.js";
import { formatMoney } from "./format.js";

/**
 * @param {object} parts
 * @param parts.api      buy, history
 * @param parts.store    see state.js
 * @param parts.memory   what outlives the page: identity and open orders
 * @param parts.wait     (milliseconds) => Promise
 * @param parts.newKey   () => string, a fresh idempotency key
 * @param parts.announce (text) => void, for those who do not see the page change
 */
export function createShop({ api, store, memory, wait, newKey, announce, now = Date.now, random = Math.random }) {
  // Counts the questions for the history: only the answer to the latest one is shown.
  let asked = 0;
  let following = false;
  let polls = 0;

  const change = (key, changes) => store.dispatch({ type: "order-changed", key, change: changes });
  const orderOf = (key) => store.state.orders.find((one) => one.key === key);

  function start() {
    for (const order of memory.openOrders()) {
      // Not sent by itself: it may be long ago. The person decides; the key makes it safe.
      store.dispatch({ type: "order-added", order: { ...openOrder(order), status: "unknown", doubtful: true, interrupted: true } });
    }
    const identity = memory.identity();
    if (identity !== null) identify(identity);
  }

  function identify(identity) {
    memory.keepIdentity(identity);
    store.dispatch({ type: "identified", identity });
    return refresh();
  }

  function forget() {
    asked += 1;
    memory.dropIdentity();
    store.dispatch({ type: "forgotten" });
  }

  /** One click. */
  async function buy() {
    const { identity } = store.state;
    if (identity === null || isBuying(store.state)) return;
    const order = openOrder({ key: newKey(), ...identity });
    store.dispatch({ type: "order-added", order });
    await send(order.key);
  }

  /** The person asks for an order whose outcome is unknown: same key, same purchase. */
  async function retry(key) {
    const order = orderOf(key);
    if (order?.status !== "unknown" && !(order?.status === "refused" && order.error.retryable)) return;
    change(key, { status: "sending", attempt: 1, interrupted: false });
    await send(key);
  }

  function dismiss(key) {
    store.dispatch({ type: "order-dismissed", key });
    memory.closeOrder(key);
  }

  async function send(key) {
    const { username, userId } = orderOf(key);
    // Before the first byte leaves: a page that is closed now can still be asked what became of it.
    memory.keepOrder({ key, username, userId });
    for (let attempt = 1; ; attempt += 1) {
      change(key, { status: "sending", attempt });
      try {
        const purchase = await api.buy({ username, userId, key });
        memory.closeOrder(key);
        change(key, { status: "accepted", purchase, error: null, late: false });
        announce(`Accepted: ${purchase.item} for ${formatMoney(purchase.price)}.`);
        polls = 0;
        void follow();
        return;
      } catch (error) {
        // Once an answer was lost, the refusal of a later attempt says nothing of the earlier one.
        const doubtful = orderOf(key).doubtful || error.outcome === "unknown";
        if (error.retryable && attempt < BUY_ATTEMPTS) {
          change(key, { status: "waiting", error, doubtful });
          await wait(retryDelay(attempt, error.retryAfter, random));
          continue;
        }
        if (!doubtful) memory.closeOrder(key);
        change(key, { status: doubtful ? "unknown" : "refused", error, doubtful });
        announce(`${doubtful ? "It is not known whether this was bought." : "Not bought."} ${error.message}`);
        return;
      }
    }
  }

  /** Asks the history, less and less often, until every accepted purchase is in it. */
  async function follow() {
    if (following) return;
    following = true;
    try {
      while (awaited(store.state).length > 0 && polls < FOLLOW_POLLS) {
        await wait(pollDelay(polls));
        polls += 1;
        await refresh();
      }
      for (const { key } of awaited(store.state)) change(key, { late: true });
    } finally {
      following = false;
    }
  }

  /** The newest page and the totals. */
  async function refresh() {
    const { identity } = store.state;
    if (identity === null) return;
    asked += 1;
    const mine = asked;
    const before = awaited(store.state);
    store.dispatch({ type: "history-asked" });
    try {
      const page = await api.history(identity.userId);
      if (mine !== asked) return;
      store.dispatch({ type: "history-came", page, at: now() });
    } catch (error) {
      if (mine !== asked) return;
      store.dispatch({ type: "history-failed", error });
      return;
    }
    const stored = ordersOf(store.state).filter((one) => one.status === "stored" && before.some(({ key }) => key === one.key));
    for (const { purchase } of stored) announce(`Stored: ${purchase.item} is in your history.`);
  }

  /** Asked by the person: also looks again for purchases that were given up on. */
  async function refreshNow() {
    polls = 0;
    for (const { key } of awaited(store.state)) change(key, { late: false });
    await refresh();
    void follow();
  }

  async function loadMore() {
    const { identity, history } = store.state;
    const cursor = history.page?.nextCursor ?? null;
    if (cursor === null || history.loadingMore) return;
    store.dispatch({ type: "more-asked" });
    try {
      const page = await api.history(identity.userId, cursor);
      if (store.state.identity?.userId !== identity.userId) return;
      store.dispatch({ type: "more-came", page, cursor });
      announce(`${store.state.history.page.purchases.length} purchases are shown.`);
    } catch (error) {
      if (store.state.identity?.userId !== identity.userId) return;
      store.dispatch({ type: "more-failed", error });
    }
  }

  function connection(online) {
    store.dispatch({ type: "connection", online });
    if (online) void refreshNow();
  }

  return { start, identify, forget, buy, retry, dismiss, refresh: refreshNow, loadMore, connection };
}

const openOrder = ({ key, username, userId }) => ({
  key,
  username,
  userId,
  status: "sending",
  attempt: 1,
  purchase: null,
  error: null,
  // An attempt's answer was lost: it may have been bought.
  doubtful: false,
  // The page was closed before an answer came.
  interrupted: false,
  // Accepted long ago and still not in the history.
  late: false,
});

// What the page knows, and how an event changes it. Pure: no DOM, no network, no clock.
//
// An order is one click on "buy". Its life:
//   sending → accepted → stored
//           ↘ waiting (for the next attempt) → sending
//           ↘ unknown (attempts used up; the same key may be sent again) → sending
//           ↘ refused (it was not bought)

const NO_HISTORY = { status: "none", page: null, error: null, at: null, busy: false, loadingMore: false, moreError: null };

export const initialState = { identity: null, online: true, orders: [], history: NO_HISTORY };

/** A store with one reducer; listeners hear of every change. */
export function createStore(state = initialState) {
  const listeners = new Set();
  return {
    get state() {
      return state;
    },
    dispatch(event) {
      state = reduce(state, event);
      for (const listener of listeners) listener(state);
    },
    subscribe(listener) {
      listeners.add(listener);
      listener(state);
    },
  };
}

export function reduce(state, event) {
  switch (event.type) {
    case "identified":
      return { ...state, identity: event.identity, history: { ...NO_HISTORY, status: "loading" } };
    case "forgotten":
      return { ...state, identity: null, history: NO_HISTORY };
    case "connection":
      return { ...state, online: event.online };
    case "order-added":
      return { ...state, orders: [event.order, ...state.orders] };
    case "order-changed":
      return { ...state, orders: state.orders.map((one) => (one.key === event.key ? { ...one, ...event.change } : one)) };
    case "order-dismissed":
      return { ...state, orders: state.orders.filter((one) => one.key !== event.key) };
    default:
      return { ...state, ...reduceHistory(state, event) };
  }
}

function reduceHistory({ history, orders, identity }, event) {
  switch (event.type) {
    case "history-asked":
      return { history: { ...history, busy: true, status: history.status === "none" ? "loading" : history.status } };
    case "history-came": {
      const page = event.page === null ? null : mergeNewest(history.page, event.page);
      return {
        history: { ...history, status: page === null ? "empty" : "ready", page, error: null, at: event.at, busy: false },
        orders: page === null ? orders : markStored(orders, identity.userId, page.purchases),
      };
    }
    case "history-failed":
      // What is already shown stays, marked as old. Nothing shown: an outage, never "no purchases".
      return { history: { ...history, status: history.page === null ? "failed" : "stale", error: event.error, busy: false } };
    case "more-asked":
      return { history: { ...history, loadingMore: true, moreError: null } };
    case "more-came": {
      // The first page was replaced meanwhile and this one no longer follows it.
      if (history.page?.nextCursor !== event.cursor) return { history: { ...history, loadingMore: false } };
      return { history: { ...history, loadingMore: false, page: appendOlder(history.page, event.page) } };
    }
    case "more-failed":
      return { history: { ...history, loadingMore: false, moreError: event.error } };
    default:
      throw new Error(`unknown event ${event.type}`);
  }
}

/** A fresh first page over what was loaded before: older pages stay if the fresh one reaches them. */
export function mergeNewest(old, fresh) {
  const oldest = fresh.purchases.at(-1)?.id;
  const seam = old === null ? -1 : old.purchases.findIndex((one) => one.id === oldest);
  if (seam === -1 || old.purchases.length <= seam + 1) return fresh;
  return { ...fresh, purchases: [...fresh.purchases, ...old.purchases.slice(seam + 1)], nextCursor: old.nextCursor };
}

/** The next page under what is there; the totals of the newest answer stand. */
export function appendOlder(page, older) {
  if (older === null) return { ...page, nextCursor: null };
  const known = new Set(page.purchases.map((one) => one.id));
  const added = older.purchases.filter((one) => !known.has(one.id));
  return { ...page, purchases: [...page.purchases, ...added], nextCursor: older.nextCursor };
}

function markStored(orders, userId, purchases) {
  const stored = new Set(purchases.map((one) => one.id));
  return orders.map((order) =>
    order.status === "accepted" && order.userId === userId && stored.has(order.purchase.id)
      ? { ...order, status: "stored" }
      : order,
  );
}

/** The current user's orders, newest first. */
export const ordersOf = (state) => state.orders.filter((one) => one.userId === state.identity?.userId);

const SHOWN_STORED = 3;

/** The orders to show: every open one, and of those that are in the history only the last few. */
export function shownOrders(state) {
  let stored = 0;
  return ordersOf(state).filter((one) => one.status !== "stored" || (stored += 1) <= SHOWN_STORED);
}

/** Accepted by the broker, not yet seen in the history. */
export const awaited = (state) => ordersOf(state).filter((one) => one.status === "accepted");

/** While a click is under way, the next one waits: two of them are not one impatient one. */
export const isBuying = (state) => ordersOf(state).some((one) => one.status === "sending" || one.status === "waiting");

const LONGEST_NAME = 100;

/** A name as the service accepts it: `{ value }`, or `{ error }` for the person. */
export function parseName(text, label) {
  const value = text.trim();
  if (value === "") return { error: `Enter a ${label}.` };
  if ([...value].length > LONGEST_NAME) return { error: `The ${label} can have at most ${LONGEST_NAME} characters.` };
  if (/[\p{Cc}\u2028-\u202e\u2066-\u2069]/u.test(value)) {
    return { error: `The ${label} contains an invisible control character.` };
  }
  return { value };
}

/** A user id is also part of an address, where a lone "." or ".." means another place. */
export function parseUserId(text) {
  const parsed = parseName(text, "user ID");
  return parsed.value === "." || parsed.value === ".." ? { error: "Choose a user ID other than dots." } : parsed;
}

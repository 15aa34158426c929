// The buy button and the orders made on this page, each with its three steps.

import { formatMoney } from "../format.js";
import { BUY_ATTEMPTS } from "../retry.js";
import { isBuying, shownOrders } from "../state.js";
import { el, keyedList, setText, show } from "./dom.js";

const STEPS = ["Sending", "Accepted", "Stored"];
// The step an order is at; "stored" has passed them all.
const STEP_OF = { sending: 0, waiting: 0, unknown: 0, refused: 0, accepted: 1, stored: 3 };

export function createOrdersView(find, shop) {
  const button = find("buy");
  const list = keyedList(find("orders"), (order) => order.key, () => createOrder(shop));
  // aria-disabled, not disabled: the focus stays where the person put it.
  button.addEventListener("click", () => button.getAttribute("aria-disabled") === "true" || shop.buy());

  return (state) => {
    const orders = shownOrders(state);
    const buying = isBuying(state);
    show(find("buying"), state.identity !== null);
    button.setAttribute("aria-disabled", String(buying));
    setText(find("buy-label"), buying ? "Buying…" : "Buy a random item");
    show(find("orders-block"), orders.length > 0);
    list(orders);
  };
}

function createOrder(shop) {
  const title = el("h3");
  const price = el("p", { class: "price" });
  const steps = STEPS.map((name) => {
    const label = el("span", {}, name);
    const state = el("span", { class: "visually-hidden" });
    return { element: el("li", {}, label, state), state };
  });
  const note = el("p", { class: "note" });
  const facts = ["Partition", "Offset", "Purchase ID"].map((name) => ({ name, value: el("dd") }));
  const details = el("dl", { class: "facts" }, ...facts.map(({ name, value }) => el("div", {}, el("dt", {}, name), value)));
  let key;
  const again = el("button", { type: "button", class: "small", on: { click: () => shop.retry(key) } }, "Retry");
  const look = el("button", { type: "button", class: "small", on: { click: () => shop.refresh() } }, "Look again");
  const drop = el("button", { type: "button", class: "small quiet", on: { click: () => shop.dismiss(key) } }, "Dismiss");
  const element = el(
    "li",
    { class: "order" },
    el("div", { class: "order-head" }, title, price),
    el("ol", { class: "steps" }, ...steps.map((step) => step.element)),
    note,
    details,
    el("div", { class: "actions" }, again, look, drop),
  );

  function update(order) {
    key = order.key;
    const { status, purchase, error } = order;
    element.dataset.status = status;
    setText(title, purchase?.item ?? "A random item");
    setText(price, purchase === null ? "" : formatMoney(purchase.price));
    steps.forEach((step, index) => {
      const at = STEP_OF[status];
      const failed = index === at && (status === "unknown" || status === "refused");
      const progress = failed ? "failed" : index < at || (index === at && status === "accepted") ? "done" : index === at ? "now" : "ahead";
      step.element.dataset.progress = progress;
      setText(step.state, { failed: " (failed)", done: " (done)", now: " (in progress)", ahead: " (not yet)" }[progress]);
    });
    setText(note, noteOf(order));
    show(note, note.textContent !== "");
    show(details, purchase !== null);
    if (purchase !== null) [purchase.partition, purchase.offset, purchase.id].forEach((value, index) => setText(facts[index].value, String(value)));
    show(again, status === "unknown" || (status === "refused" && error.retryable));
    show(look, status === "accepted" && order.late);
    show(drop, status === "unknown" || status === "refused");
  }

  return { element, update };
}

function noteOf({ status, attempt, error, interrupted, late }) {
  const reference = error?.requestId ? ` (request ${error.requestId})` : "";
  switch (status) {
    case "sending":
      return attempt > 1 ? `Attempt ${attempt} of ${BUY_ATTEMPTS}, with the same key.` : "";
    case "waiting":
      return `${error.message} Trying again, with the same key: it cannot be bought twice.`;
    case "unknown":
      return interrupted
        ? "The page was left before the answer came. It is not known whether this was bought; a retry uses the same key and cannot buy twice."
        : `${error.message} It is not known whether this was bought; a retry uses the same key and cannot buy twice.${reference}`;
    case "refused":
      return `Not bought. ${[error.message, ...error.fields.map((field) => `${field.name}: ${field.detail}`)].join(" ")}${reference}`;
    case "accepted":
      return late ? "Accepted and safe, but not in the history yet." : "Waiting for it to appear in the history.";
    default:
      return "";
  }
}

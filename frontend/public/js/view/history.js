// The history with its totals, and its states: nobody, loading, empty, ready, stale, failed.

import { formatCount, formatMoney, formatTime, formatTimestamp, plural } from "../format.js";
import { awaited } from "../state.js";
import { el, keyedList, setText, show } from "./dom.js";

export function createHistoryView(find, shop) {
  const items = keyedList(find("items"), (item) => item.name, createItem);
  const purchases = keyedList(find("purchases"), (purchase) => purchase.id, createPurchase);
  const more = find("more");
  find("refresh").addEventListener("click", () => shop.refresh());
  find("history-retry").addEventListener("click", () => shop.refresh());
  more.addEventListener("click", async () => {
    await shop.loadMore();
    // The button is gone when there is no more: the focus goes to the line that says so.
    if (more.hidden) find("shown").focus();
  });

  return (state) => {
    const { status, page, error, at, busy } = state.history;
    find("history").setAttribute("aria-busy", String(busy));
    find("refresh").setAttribute("aria-disabled", String(busy));
    show(find("refresh"), state.identity !== null);
    show(find("history-nobody"), status === "none");
    show(find("history-loading"), status === "loading");
    show(find("history-empty"), status === "empty");
    setText(find("history-empty-note"), emptyNote(awaited(state).length));
    show(find("history-data"), page !== null);
    const troubled = status === "failed" || status === "stale";
    show(find("history-error"), troubled);
    if (troubled) {
      setText(find("history-error-title"), status === "failed" ? "Your purchases cannot be shown" : "Not up to date");
      setText(find("history-error-text"), errorText(error, at));
    }
    if (page !== null) return showPage(state.history);
    items([]);
    purchases([]);
  };

  function showPage({ page, at, loadingMore, moreError }) {
    const { summary } = page;
    setText(find("total-purchases"), formatCount(summary.purchases));
    setText(find("total-spent"), formatMoney(summary.spent));
    setText(find("average-price"), formatMoney(summary.average));
    setTime(find("first-purchase"), summary.first);
    setTime(find("last-purchase"), summary.last);
    setText(find("as-of"), `As of ${formatTime(at)}`);
    items(summary.items.map((item) => ({ ...item, share: summary.spent > 0 ? item.spent / summary.spent : 0 })));
    purchases(page.purchases);
    const all = page.nextCursor === null;
    setText(
      find("shown"),
      all ? `That is all: ${plural(page.purchases.length, "purchase", "purchases")}.` : `${formatCount(page.purchases.length)} of ${formatCount(summary.purchases)} are shown.`,
    );
    show(more, !all);
    more.setAttribute("aria-disabled", String(loadingMore));
    setText(more, loadingMore ? "Loading…" : "Load more");
    setText(find("more-error"), moreError === null ? "" : `${moreError.message} Nothing was lost; try again.`);
  }
}

function emptyNote(pending) {
  if (pending === 0) return "What you buy appears here, with totals by item.";
  return `${plural(pending, "accepted purchase is", "accepted purchases are")} on the way here.`;
}

function errorText(error, at) {
  const since = at === null ? "" : ` What you see is from ${formatTime(at)}.`;
  return `${error.message}${since}${error.requestId ? ` (request ${error.requestId})` : ""}`;
}

function setTime(element, timestamp) {
  element.setAttribute("datetime", timestamp);
  setText(element, formatTimestamp(timestamp));
}

function createItem() {
  const name = el("th", { scope: "row" });
  const count = el("td", { class: "number", "data-label": "Bought" });
  const bar = el("span", { class: "bar", "aria-hidden": "true" });
  const amount = el("span");
  const element = el("tr", {}, name, count, el("td", { class: "number spent", "data-label": "Spent" }, bar, amount));
  const update = (item) => {
    setText(name, item.name);
    setText(count, `${formatCount(item.count)} ×`);
    setText(amount, formatMoney(item.spent));
    bar.style.setProperty("--share", item.share.toFixed(4));
  };
  return { element, update };
}

function createPurchase() {
  const name = el("th", { scope: "row" });
  const price = el("td", { class: "number", "data-label": "Price" });
  const time = el("time");
  const id = el("code");
  const element = el("tr", {}, name, price, el("td", { "data-label": "When" }, time), el("td", { class: "id", "data-label": "Purchase ID" }, id));
  const update = (purchase) => {
    element.dataset.purchaseId = purchase.id;
    setText(name, purchase.item);
    setText(price, formatMoney(purchase.price));
    setTime(time, purchase.timestamp);
    setText(id, purchase.id);
  };
  return { element, update };
}

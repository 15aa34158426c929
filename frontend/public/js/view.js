// The page: draws the state, hands what the person does to the shop. Decides nothing.

import { createHistoryView } from "./view/history.js";
import { createIdentityView } from "./view/identity.js";
import { createOrdersView } from "./view/orders.js";
import { el, show } from "./view/dom.js";

const find = (id) => document.getElementById(id);

export function createView(shop) {
  const parts = [createIdentityView(find, shop), createOrdersView(find, shop), createHistoryView(find, shop)];
  return (state) => {
    show(find("offline"), !state.online);
    for (const draw of parts) draw(state);
  };
}

/** Says something to those who do not see the page change; a log, so that nothing overwrites what is still being read. */
export function announce(text) {
  const log = find("announcer");
  log.append(el("p", {}, text));
  if (log.childElementCount > 5) log.firstElementChild.remove();
}

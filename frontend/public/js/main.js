// Puts the page together.

import { createApi } from "./api.js";
import { createMemory } from "./memory.js";
import { createShop } from "./shop.js";
import { createStore } from "./state.js";
import { announce, createView } from "./view.js";

const store = createStore();
const shop = createShop({
  api: createApi({ fetch: (...request) => fetch(...request) }),
  store,
  memory: createMemory(() => localStorage),
  wait: (millis) => new Promise((resolve) => setTimeout(resolve, millis)),
  newKey,
  announce,
});

store.subscribe(createView(shop));
addEventListener("online", () => shop.connection(true));
addEventListener("offline", () => shop.connection(false));
if (!navigator.onLine) shop.connection(false);
shop.start();

/** A fresh idempotency key; randomUUID exists only where the page came over TLS or from localhost. */
function newKey() {
  if (crypto.randomUUID !== undefined) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// What outlives the page: who is buying, and orders whose answer has not come. A browser that
// refuses storage (private windows, full disks) makes the page forgetful, not broken.

const IDENTITY = "purchases.identity";
const ORDERS = "purchases.open-orders";

export function createMemory(storage) {
  function read(name) {
    try {
      return JSON.parse(storage().getItem(name));
    } catch {
      return null;
    }
  }

  function write(name, value) {
    try {
      if (value === null) storage().removeItem(name);
      else storage().setItem(name, JSON.stringify(value));
    } catch {
      // Nothing to do: see above.
    }
  }

  const openOrders = () => {
    const orders = read(ORDERS);
    return Array.isArray(orders) ? orders.filter((one) => isText(one?.key) && isIdentity(one)) : [];
  };
  const without = (key) => openOrders().filter((one) => one.key !== key);

  return {
    identity() {
      const identity = read(IDENTITY);
      return isIdentity(identity) ? { username: identity.username, userId: identity.userId } : null;
    },
    keepIdentity: (identity) => write(IDENTITY, identity),
    dropIdentity: () => write(IDENTITY, null),
    openOrders,
    keepOrder: (order) => write(ORDERS, [...without(order.key), order]),
    closeOrder: (key) => write(ORDERS, without(key)),
  };
}

const isText = (value) => typeof value === "string" && value !== "";
const isIdentity = (value) => isText(value?.username) && isText(value?.userId);

// The few words the view is written in. Text goes in as text: there is no way here to hand over markup.

/** An element with properties and children (elements, text, or null for nothing). */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "class") element.className = value;
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Writes only what differs: a screen reader is not told the same twice, a selection stays. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export const show = (element, visible) => {
  element.hidden = !visible;
};

/**
 * Brings a container's children in line with the items, keeping the element of each key: focus
 * and selection survive. `create(item)` gives `{ element, update(item) }`.
 */
export function keyedList(container, keyOf, create) {
  const rows = new Map();
  return (items) => {
    const keys = new Set(items.map(keyOf));
    for (const [key, row] of rows) {
      if (keys.has(key)) continue;
      row.element.remove();
      rows.delete(key);
    }
    let expected = container.firstElementChild;
    for (const item of items) {
      const key = keyOf(item);
      if (!rows.has(key)) rows.set(key, create(item));
      const { element, update } = rows.get(key);
      update(item);
      if (element === expected) expected = expected.nextElementSibling;
      else container.insertBefore(element, expected);
    }
  };
}

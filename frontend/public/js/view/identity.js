// Who is buying: the form, and the line that stands in its place once that is known.

import { parseName, parseUserId } from "../state.js";
import { setText, show } from "./dom.js";

export function createIdentityView(find, { identify, forget }) {
  const form = find("identity-form");
  const known = find("identity-known");
  const fields = [
    { name: "username", input: find("username"), hint: find("username-error"), parse: (text) => parseName(text, "username") },
    { name: "userId", input: find("user-id"), hint: find("user-id-error"), parse: parseUserId },
  ];

  function judge({ input, hint, parse }) {
    const { value, error } = parse(input.value);
    input.setAttribute("aria-invalid", String(error !== undefined));
    setText(hint, error ?? "");
    return value;
  }

  for (const field of fields) {
    // Not before the person has tried: then with every letter, so that the complaint goes when it is met.
    field.input.addEventListener("input", () => field.input.getAttribute("aria-invalid") === "true" && judge(field));
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const values = Object.fromEntries(fields.map((field) => [field.name, judge(field)]));
    const wrong = fields.find((field) => values[field.name] === undefined);
    if (wrong !== undefined) return wrong.input.focus();
    identify(values);
    find("buy").focus();
  });

  find("identity-change").addEventListener("click", () => {
    forget();
    fields[0].input.focus();
    fields[0].input.select();
  });

  return ({ identity }) => {
    show(form, identity === null);
    show(known, identity !== null);
    if (identity === null) return;
    setText(find("known-username"), identity.username);
    setText(find("known-user-id"), identity.userId);
    find("username").value = identity.username;
    find("user-id").value = identity.userId;
  };
}

// The customer's orders, newest first.

import { h, show } from "../dom.js";
import { dayOf, minuteOf, money, orderName, plural, statusWord } from "../format.js";
import { failure, framed, heading, nothing } from "../parts.js";
import { callAsMe } from "../session.js";

const PAGE = 20;

export function ordersView({ signal, navigate }) {
  const list = h("ul", { class: "orders" }, Array.from({ length: 3 }, () => h("li", { class: "order-row placeholder", "aria-hidden": "true" }, h("div", { class: "line" }))));
  const more = h("div", { class: "more" });
  fill({ list, more, signal, navigate, cursor: null });
  return { title: "Orders", node: h("div", { class: "page medium" }, heading("Orders"), list, more) };
}

async function fill(view) {
  const { list, more, signal, navigate, cursor } = view;
  try {
    const { items, next_cursor } = await callAsMe(`/orders?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`, { signal });
    if (!cursor) show(list);
    list.append(...items.map(row));
    const next = () => fill({ ...view, cursor: next_cursor });
    show(more, next_cursor && h("button", { type: "button", class: "button quiet", on: { click: next } }, "Show older orders"));
    if (!cursor && items.length === 0) show(more, nothing("You have not ordered anything yet.", "/", "Browse the books"));
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.status === 401) return navigate("/sign-in?next=/my/orders", { replace: true });
    if (!cursor) show(list);
    show(more, failure(error, () => fill(view)));
  }
}

function row(order) {
  const copies = order.lines.reduce((sum, { quantity }) => sum + quantity, 0);
  const [first] = order.lines;
  const others = order.lines.length - 1;
  return h(
    "li",
    {},
    h(
      "a",
      { class: "order-row", href: `/my/orders/${order.id}` },
      framed({ sku: first.sku, title: first.title, author: "" }, "tiny"),
      h("span", { class: "order-words" }, h("span", { class: "line-title" }, first.title, others > 0 && ` and ${plural(others, "other")}`), h("span", { class: "muted" }, `${dayOf(order.placed_at)}, ${minuteOf(order.placed_at)} · ${plural(copies, "book")} · ${orderName(order.id)}`)),
      h("span", { class: `badge ${order.status}` }, statusWord(order.status)),
      h("span", { class: "price" }, money(order.total)),
    ),
  );
}

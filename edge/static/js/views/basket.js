// The basket and the step from it to an order.

import { call } from "../api.js";
import * as basket from "../basket.js";
import { placeOrder } from "../checkout.js";
import { announce, h, show } from "../dom.js";
import { money, plural } from "../format.js";
import { busy, failure, framed, heading, isBusy, nothing } from "../parts.js";
import { isSignedIn } from "../session.js";

export function basketView(context) {
  const body = h("div", { class: "basket-body" });
  const trouble = h("div", {});
  const view = { ...context, body, trouble, notes: new Map() };
  draw(view);
  checkPrices(view);
  return { title: "Basket", node: h("div", { class: "page basket" }, heading("Basket"), trouble, body) };
}

function draw(view) {
  const lines = basket.lines();
  if (lines.length === 0) return show(view.body, nothing("Your basket is empty.", "/", "Browse the books"));
  show(view.body, h("ul", { class: "lines" }, lines.map((line) => row(line, view))), summary(lines, view));
}

function row(line, view) {
  const redraw = (id) => {
    draw(view);
    (document.getElementById(id) ?? document.querySelector("h1")).focus();
  };
  const id = `quantity-${line.sku}`;
  const quantity = h("input", { id, type: "number", min: 1, max: basket.MOST, value: line.quantity, inputmode: "numeric", "aria-label": `Copies of ${line.title}` });
  quantity.addEventListener("change", () => {
    basket.setQuantity(line.sku, Math.trunc(Number(quantity.value)) || 1);
    redraw(id);
  });
  const remove = () => {
    basket.remove(line.sku);
    announce(`${line.title} was taken out.`);
    redraw("");
  };
  const note = view.notes.get(line.sku);
  return h(
    "li",
    { class: "line-row" },
    h("a", { href: `/book/${line.sku}`, tabindex: "-1", "aria-hidden": "true" }, framed(line, "small")),
    h("div", { class: "line-words" }, h("a", { class: "line-title", href: `/book/${line.sku}` }, line.title), h("span", { class: "muted" }, line.author), note && h("span", { class: "stock low" }, note)),
    h("div", { class: "line-quantity" }, quantity, h("button", { type: "button", class: "link", "aria-label": `Remove ${line.title}`, on: { click: remove } }, "Remove")),
    h("span", { class: "price" }, money({ ...line.price, amount: line.price.amount * line.quantity })),
  );
}

function summary(lines, view) {
  const copies = lines.reduce((sum, { quantity }) => sum + quantity, 0);
  const button = h("button", { type: "button", class: "button primary", id: "place" }, isSignedIn() ? "Place order" : "Sign in to order");
  button.addEventListener("click", () => isBusy(button) || busy(button, () => place(view)));
  return h(
    "section",
    { class: "summary", "aria-label": "Summary" },
    h("p", { class: "summary-line" }, h("span", {}, plural(copies, "book")), h("span", { class: "price", id: "basket-total" }, money(basket.total(lines)))),
    h("p", { class: "muted" }, "Placing the order holds the books for you. You pay on the next page."),
    button,
  );
}

async function place(view) {
  if (!isSignedIn()) return view.navigate("/sign-in?next=/basket");
  show(view.trouble);
  const lines = basket.lines();
  try {
    const order = await placeOrder(lines, basket.total(lines));
    basket.empty();
    view.navigate(`/my/orders/${order.id}`);
  } catch (error) {
    if (error.status === 401) return view.navigate("/sign-in?next=/basket");
    if (error.slug === "price-changed" || error.slug === "unknown-product") await checkPrices(view);
    show(view.trouble, refusal(error));
    view.trouble.scrollIntoView({ block: "nearest" });
  }
}

function refusal(error) {
  if (error.slug === "price-changed")
    return message("A price changed since you filled the basket.", "The basket shows the new prices. Nothing was ordered; look it over and order again.");
  if (error.isTrouble) return message(error.headline, "If the order went through, pressing the button again leads to that same order, never to a second one.");
  return message(error.headline, error.advice || "Nothing was ordered. Change the basket and try again.");
}

const message = (headline, advice) => failure({ headline, advice });

/** Brings the basket up to date with the shelves; a catalogue that is away changes nothing. */
async function checkPrices(view) {
  await Promise.all(
    basket.lines().map(async ({ sku, quantity }) => {
      try {
        const product = await call(`/catalog/products/${sku}`, { signal: view.signal });
        if (basket.refresh(product)) view.notes.set(sku, `Now ${money(product.price)} each`);
        else if (product.available < quantity) view.notes.set(sku, product.available ? `Only ${product.available} left` : "Out of stock");
      } catch (error) {
        if (error.status === 404) view.notes.set(sku, "No longer in the shop");
      }
    }),
  );
  if (view.signal.aborted || view.notes.size === 0) return;
  const focused = view.body.contains(document.activeElement) ? document.activeElement.id : "";
  draw(view);
  document.getElementById(focused)?.focus();
}

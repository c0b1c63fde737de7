// One book, and the way into the basket.

import { call } from "../api.js";
import * as basket from "../basket.js";
import { announce, h, show } from "../dom.js";
import { money, stockWord } from "../format.js";
import { failure, framed, heading, nothing, placeholder } from "../parts.js";

export function bookView({ params, signal }) {
  const node = h("article", { class: "page book" });
  fill(node, params.sku, signal);
  return { title: "Book", node };
}

async function fill(node, sku, signal) {
  show(node, h("div", { class: "frame large placeholder" }), placeholder("line tall", "line", "line short", "block"));
  try {
    const product = await call(`/catalog/products/${sku}`, { signal });
    show(node, framed(product, "large"), details(product));
    document.title = `${product.title} · Orderflow Books`;
  } catch (error) {
    if (error.name === "AbortError") return;
    show(node, error.status === 404 ? gone() : h("div", { class: "wide" }, heading("Book"), failure(error, () => fill(node, sku, signal))));
  }
  node.querySelector("h1").focus({ preventScroll: true });
}

const gone = () => h("div", { class: "wide" }, heading("This book is not in the shop"), nothing("It may have been withdrawn.", "/", "Browse the books"));

function details(product) {
  const stock = stockWord(product.available);
  return h(
    "div",
    { class: "book-words" },
    h("p", { class: "crumb" }, h("a", { href: `/?category=${encodeURIComponent(product.category)}` }, product.category)),
    heading(product.title),
    h("p", { class: "by" }, "by ", h("a", { href: `/?q=${encodeURIComponent(product.author)}` }, product.author)),
    h("p", { class: "description" }, product.description),
    h("p", { class: "offer" }, h("span", { class: "price" }, money(product.price)), h("span", { class: `stock ${stock.level}` }, stock.text)),
    product.available > 0 ? buy(product) : h("p", { class: "muted" }, "When a copy comes in, this page will offer it again."),
    h("p", { class: "sku" }, product.sku),
  );
}

function buy(product) {
  const most = Math.min(product.available, 10);
  const quantity = h("select", { id: "quantity" }, Array.from({ length: most }, (_, index) => h("option", { value: index + 1 }, index + 1)));
  const inBasket = h("p", { class: "after-add" });
  const submit = (event) => {
    event.preventDefault();
    basket.add(product, Number(quantity.value));
    announce(`${product.title} is in your basket.`);
    show(inBasket, h("a", { href: "/basket" }, "Go to the basket"));
  };
  return h(
    "form",
    { class: "buy", on: { submit } },
    h("label", { for: "quantity" }, "Copies"),
    quantity,
    h("button", { class: "button primary" }, "Add to basket"),
    inBasket,
  );
}

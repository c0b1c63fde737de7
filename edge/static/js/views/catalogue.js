// The shelves: search, filter, sort, and more on request.

import { call } from "../api.js";
import { h, show } from "../dom.js";
import { money, plural, stockWord } from "../format.js";
import { failure, framed, heading, nothing } from "../parts.js";

const PAGE = 24;
const SORTS = [["", "Title"], ["price", "Price, lowest first"], ["-price", "Price, highest first"]];
const KEPT_MS = 60_000;

const kept = new Map(); // query → {items, next, at}: going back is instant and lands where the reader was
let categories = null;

export function catalogueView({ query, signal, navigate }) {
  const list = h("ul", {}, Array.from({ length: 12 }, () => h("li", { class: "placeholder", "aria-hidden": "true" }, h("div", { class: "line" }))));
  const grid = h("ul", { class: "grid" });
  const more = h("div", { class: "more" });
  const status = h("p", { class: "found", role: "status" });
  const title = query.get("q") ? `Results for “${query.get("q")}”` : (query.get("category") ?? "All books");
  const node = h(
    "div",
    { class: "page shelves" },
    h("nav", { class: "categories", "aria-label": "Categories" }, list),
    h("section", { class: "shelf", "aria-label": "Books" }, h("div", { class: "shelf-head" }, heading(title), status, controls(query, navigate)), grid, more),
  );
  const fill = () => {
    fillCategories(list, query, signal);
    fillShelf({ query, signal, grid, more, status, again: fill });
  };
  fill();
  return { title: title === "All books" ? "" : title, node };
}

function fillCategories(list, query, signal) {
  const current = query.get("category") ?? "";
  const entry = (name, label, count) => {
    const here = name === current;
    return h("li", {}, h("a", { href: link(query, { category: name }), "aria-current": here ? "page" : null }, label, count !== undefined && h("span", { class: "n" }, count)));
  };
  const fill = (items) => show(list, entry("", "All books"), items.map(({ name, count }) => entry(name, name, count)));
  if (categories) fill(categories);
  else
    call("/catalog/categories", { signal }).then(
      ({ items }) => fill((categories = items)),
      () => show(list, entry("", "All books")), // the shelf itself says what is wrong
    );
}

function controls(query, navigate) {
  const stock = h("input", { type: "checkbox", id: "in-stock", checked: query.get("in_stock") === "true" });
  const sort = h("select", { id: "sort" }, SORTS.map(([value, label]) => h("option", { value, selected: value === (query.get("sort") ?? "") }, label)));
  const change = (id) => () => {
    navigate(link(query, { in_stock: stock.checked ? "true" : "", sort: sort.value }), { replace: true, keepFocus: true });
    document.getElementById(id).focus();
  };
  stock.addEventListener("change", change("in-stock"));
  sort.addEventListener("change", change("sort"));
  return h(
    "div",
    { class: "controls" },
    h("label", { class: "check", for: "in-stock" }, stock, "In stock only"),
    h("label", { for: "sort" }, h("span", { class: "visually-hidden" }, "Sort by"), sort),
  );
}

async function fillShelf({ query, signal, grid, more, status, again }) {
  const key = query.toString();
  const before = kept.get(key);
  const shelf = before && Date.now() - before.at < KEPT_MS ? before : { items: [], next: null, at: Date.now() };

  const offerMore = () => {
    const button = h("button", { type: "button", class: "button quiet", on: { click: load } }, "Show more books");
    show(more, shelf.next && button);
    status.textContent = `${shelf.next ? "First " : ""}${plural(shelf.items.length, "book")}`;
  };
  const load = async () => {
    const from = shelf.items.length;
    show(more, h("p", { class: "muted" }, "Fetching more books…"));
    try {
      await fetchPage(shelf, query, signal);
    } catch (error) {
      return error.name === "AbortError" || show(more, failure(error, load));
    }
    grid.append(...shelf.items.slice(from).map(card));
    grid.children[from]?.querySelector("a").focus({ preventScroll: true });
    offerMore();
  };

  if (shelf.items.length === 0) {
    show(grid, Array.from({ length: 12 }, ghost));
    show(more);
    status.textContent = "Looking…";
    try {
      await fetchPage(shelf, query, signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      status.textContent = "";
      show(grid);
      show(more, failure(error, again));
      return;
    }
    kept.set(key, shelf);
  }
  show(grid, shelf.items.map(card));
  if (shelf.items.length) return offerMore();
  status.textContent = "No books found";
  show(more, nothing("No book matches. Try fewer words, another category, or include books that are out of stock.", "/", "Show all books"));
}

async function fetchPage(shelf, query, signal) {
  const asked = new URLSearchParams(query);
  asked.set("limit", PAGE);
  if (shelf.next) asked.set("cursor", shelf.next);
  const { items, next_cursor } = await call(`/catalog/products?${asked}`, { signal });
  shelf.items.push(...items);
  shelf.next = next_cursor;
}

function card(product) {
  const stock = stockWord(product.available);
  return h(
    "li",
    {},
    h(
      "a",
      { class: "card", href: `/book/${product.sku}` },
      framed(product),
      h("span", { class: "card-words" }, h("span", { class: "card-title" }, product.title), h("span", { class: "card-author" }, product.author)),
      h("span", { class: "card-foot" }, h("span", { class: "price" }, money(product.price)), stock.level !== "good" && h("span", { class: `stock ${stock.level}` }, stock.text)),
    ),
  );
}

const ghost = () => h("li", { class: "card placeholder", "aria-hidden": "true" }, h("div", { class: "frame" }), h("div", { class: "card-words" }, h("div", { class: "line" })), h("div", { class: "card-foot" }, h("div", { class: "line short" })));

function link(query, change) {
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(change)) value ? next.set(name, value) : next.delete(name);
  return next.size ? `/?${next}` : "/";
}

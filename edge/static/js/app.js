// The page around the pages: routes, focus, and the header that is always there.

import * as basket from "./basket.js";
import { announce, show } from "./dom.js";
import { plural } from "./format.js";
import { failure } from "./parts.js";
import { isSignedIn, onSessionChange, signOut } from "./session.js";
import { registerView, signInView } from "./views/account.js";
import { basketView } from "./views/basket.js";
import { bookView } from "./views/book.js";
import { catalogueView } from "./views/catalogue.js";
import { missingView } from "./views/missing.js";
import { orderView } from "./views/order.js";
import { ordersView } from "./views/orders.js";

// A view gets {params, query, signal, navigate} and returns {title, node} at once; it fills the node as answers come.
const ROUTES = [
  [/^\/$/, catalogueView],
  [/^\/book\/(?<sku>[A-Z0-9-]+)$/, bookView],
  [/^\/basket$/, basketView],
  [/^\/sign-in$/, signInView],
  [/^\/register$/, registerView],
  [/^\/my\/orders$/, ordersView, "signed in"],
  [/^\/my\/orders\/(?<id>[0-9a-f-]+)$/, orderView, "signed in"],
];

const main = document.getElementById("main");
const search = document.getElementById("search");
let leaving = new AbortController();
let shown = "";
let typing; // a search that starts when the reader pauses, unless they go elsewhere first

function navigate(to, { replace = false, keepFocus = false } = {}) {
  rememberScroll();
  history[replace ? "replaceState" : "pushState"]({ scroll: 0 }, "", to);
  render({ keepFocus });
}

function render({ keepFocus = false, scroll = 0 } = {}) {
  clearTimeout(typing);
  const here = new URL(location.href);
  if (here.pathname + here.search === shown) return main.querySelector("h1")?.focus();
  shown = here.pathname + here.search;
  leaving.abort();
  leaving = new AbortController();
  const { view, params, needsSignIn } = match(here.pathname);
  if (needsSignIn && !isSignedIn()) return navigate(`/sign-in?next=${encodeURIComponent(shown)}`, { replace: true });
  const { title, node } = view({ params, query: here.searchParams, signal: leaving.signal, navigate });
  show(main, node);
  document.title = title ? `${title} · Orderflow Books` : "Orderflow Books";
  if (!keepFocus) {
    main.querySelector("h1")?.focus({ preventScroll: true });
    search.elements.q.value = here.searchParams.get("q") ?? "";
    window.scrollTo(0, scroll);
  }
  markCurrent(here.pathname);
}

function match(path) {
  for (const [pattern, view, needsSignIn] of ROUTES) {
    const found = pattern.exec(path);
    if (found) return { view, params: found.groups ?? {}, needsSignIn: needsSignIn !== undefined };
  }
  return { view: missingView, params: {}, needsSignIn: false };
}

function markCurrent(path) {
  for (const link of document.querySelectorAll(".top-nav a")) {
    if (path.startsWith(link.getAttribute("href"))) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

const rememberScroll = () => history.replaceState({ scroll: window.scrollY }, "");

function showBasketCount() {
  const badge = document.getElementById("basket-count");
  const count = basket.count();
  badge.hidden = count === 0;
  badge.textContent = count;
  document.getElementById("nav-basket").setAttribute("aria-label", `Basket, ${plural(count, "book")}`);
}

function showSession() {
  document.getElementById("nav-sign-in").hidden = isSignedIn();
  document.getElementById("nav-sign-out").hidden = !isSignedIn();
}

async function leave() {
  try {
    await signOut();
    announce("You are signed out.");
  } catch {
    announce("Signed out on this device. The account service did not answer.");
  }
  navigate("/");
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='/']");
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.getAttribute("href") === "/ops") return; // a page of its own
  event.preventDefault();
  navigate(link.getAttribute("href"));
});

function searchFor(text) {
  const onCatalogue = location.pathname === "/";
  const query = new URLSearchParams(onCatalogue ? location.search : "");
  if (text.trim()) query.set("q", text.trim());
  else query.delete("q");
  navigate(`/${query.size ? `?${query}` : ""}`, { replace: onCatalogue, keepFocus: true });
}
search.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => searchFor(search.elements.q.value), 300);
});
search.addEventListener("submit", (event) => {
  event.preventDefault();
  searchFor(search.elements.q.value);
});

document.getElementById("nav-sign-out").addEventListener("click", leave);
window.addEventListener("popstate", (event) => render({ scroll: event.state?.scroll ?? 0 }));
window.addEventListener("pagehide", rememberScroll);
window.addEventListener("unhandledrejection", ({ reason }) => {
  if (reason?.name !== "AbortError") main.prepend(failure(reason ?? {}));
});
history.scrollRestoration = "manual";
basket.onBasketChange(showBasketCount);
onSessionChange(showSession);
showBasketCount();
showSession();
render({ scroll: history.state?.scroll ?? 0 });

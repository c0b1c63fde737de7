// One order: where it stands, what it waits for, and what happened to it, live.

import { cancelOrder } from "../checkout.js";
import { announce, h, show } from "../dom.js";
import { dayOf, minuteOf, money, orderName, plural, reasonWord, statusWord } from "../format.js";
import { busy, failure, framed, heading, isBusy, placeholder } from "../parts.js";
import { callAsMe } from "../session.js";
import { isOver, watchOrder } from "../watch.js";
import { payPanel } from "./pay.js";
import { progress, timelineEntry } from "./progress.js";

const CANCELLABLE = new Set(["pending", "awaiting_payment", "paid"]);

export function orderView({ params, signal, navigate }) {
  const name = orderName(params.id);
  const node = h("div", { class: "page order" }, heading(`Order ${name}`), placeholder("steps-ghost", "block", "line", "line"));
  open(node, params.id, signal, navigate);
  return { title: `Order ${name}`, node };
}

async function open(node, id, signal, navigate) {
  const title = node.querySelector("h1");
  try {
    const [order, timeline] = await Promise.all([callAsMe(`/orders/${id}`, { signal }), callAsMe(`/orders/${id}/timeline`, { signal })]);
    const page = build(order, timeline.items, signal);
    under(title, page.parts);
    await follow(page);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.status === 401) return navigate(`/sign-in?next=/my/orders/${id}`, { replace: true });
    under(title, [failure(error, () => open(node, id, signal, navigate))]);
  }
}

/** Puts `parts` in the place of all that follows the title, which stays: it has the focus, and moving it would lose that. */
function under(title, parts) {
  while (title.nextSibling) title.nextSibling.remove();
  title.after(...parts);
}

function build(order, entries, signal) {
  const page = {
    order,
    entries,
    signal,
    summary: h("p", { class: "order-summary", role: "status" }),
    steps: h("div", { class: "steps-box" }),
    todo: h("div", { class: "todo" }),
    link: h("span", { class: "link-state" }),
    log: h("ol", { class: "timeline" }, entries.map(timelineEntry)),
    actions: h("div", { class: "actions" }),
    drawn: "",
  };
  page.parts = [
    page.summary,
    page.steps,
    h("div", { class: "order-columns" }, h("div", {}, page.todo, history(page)), contents(order, page.actions)),
  ];
  draw(page);
  return page;
}

const history = (page) => h("section", { class: "panel", "aria-labelledby": "what-happened" }, h("h2", { id: "what-happened" }, "What happened", page.link), page.log);

function contents(order, actions) {
  return h(
    "section",
    { class: "panel contents", "aria-labelledby": "what-is-in-it" },
    h("h2", { id: "what-is-in-it" }, plural(order.lines.reduce((sum, { quantity }) => sum + quantity, 0), "book")),
    h("ul", { class: "lines compact" }, order.lines.map(lineRow)),
    h("p", { class: "summary-line" }, h("span", {}, "Total"), h("span", { class: "price" }, money(order.total))),
    h("p", { class: "muted" }, `Placed ${dayOf(order.placed_at)}, ${minuteOf(order.placed_at)}`),
    actions,
  );
}

function lineRow(line) {
  return h(
    "li",
    { class: "line-row" },
    framed({ ...line, author: "" }, "tiny"),
    h("div", { class: "line-words" }, h("a", { class: "line-title", href: `/book/${line.sku}` }, line.title), h("span", { class: "muted" }, `${line.quantity} × ${money(line.unit_price)}`)),
    h("span", { class: "price" }, money(line.line_total)),
  );
}

/** Everything that depends on the status; only what changed is drawn again, so focus stays where it is. */
function draw(page) {
  const { order, entries } = page;
  show(page.steps, progress(order.status, entries));
  if (page.drawn === order.status) return;
  page.drawn = order.status;
  page.summary.textContent = `${statusWord(order.status)}. ${explain(order)}`;
  page.summary.dataset.status = order.status;
  show(page.todo, order.status === "awaiting_payment" && payPanel(order, { signal: page.signal, changed: () => reload(page) }));
  const may = order.actions ? order.actions.includes("cancel") : CANCELLABLE.has(order.status);
  show(page.actions, may && cancelButton(page));
  if (isOver(order.status)) show(page.link);
}

function explain({ status, status_reason, refunded }) {
  switch (status) {
    case "pending":
      return "The shelves are being checked; this takes a moment.";
    case "awaiting_payment":
      return "The books are held for you.";
    case "confirmed":
      return "The bank agreed; the books are yours and the payment is being settled.";
    case "paid":
      return "Your books are being packed.";
    case "fulfilled":
      return "Your books are on their way.";
    case "refunding":
      return "Your money is on its way back.";
    case "refunded":
      return refunded?.amount ? `${money(refunded)} went back to your card.` : "Your money went back to your card.";
    default:
      return reasonWord(status_reason);
  }
}

function cancelButton(page) {
  const { order } = page;
  const label = order.status === "paid" ? "Cancel and refund" : "Cancel this order";
  const trouble = h("div", {});
  const button = h("button", { type: "button", class: "button quiet danger" }, label);
  const cancel = async () => {
    show(trouble);
    try {
      await cancelOrder(order.id);
      announce("The order is being cancelled.");
      await reload(page);
      document.querySelector("h1").focus();
    } catch (error) {
      show(trouble, failure(error));
    }
  };
  button.addEventListener("click", () => {
    if (isBusy(button)) return;
    if (!button.classList.contains("armed")) {
      button.classList.add("armed");
      button.textContent = `Really ${label.toLowerCase()}?`;
      return;
    }
    busy(button, cancel);
  });
  button.addEventListener("blur", () => {
    button.classList.remove("armed");
    button.textContent = label;
  });
  return [button, trouble];
}

async function reload(page) {
  const fresh = await callAsMe(`/orders/${page.order.id}`, { signal: page.signal });
  if (fresh.version < page.order.version) return; // an older answer that came late
  page.order = fresh;
  draw(page);
}

const LINK = { live: "Live", polling: "Live", lost: "Reconnecting…" };

async function follow(page) {
  const onEntry = (entry) => {
    page.entries.push(entry);
    const item = timelineEntry(entry);
    item.classList.add("new");
    page.log.append(item);
    draw(page);
    reload(page).catch(() => {}); // the next entry, or a reload, brings it up to date
  };
  const onLink = (state) => {
    page.link.textContent = LINK[state];
    page.link.className = `link-state ${state}`;
  };
  const last = page.entries.at(-1);
  if (last?.status !== page.order.status) await reload(page); // it moved between the two answers
  const seq = last?.seq ?? 0;
  await watchOrder(page.order.id, { seq, status: page.order.status, onEntry, onLink, signal: page.signal });
}

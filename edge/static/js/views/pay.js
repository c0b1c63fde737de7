// Paying for an order with one of the test cards.

import { confirmPayment, pay } from "../checkout.js";
import { announce, h, show } from "../dom.js";
import { declineWord, minuteOf, money } from "../format.js";
import { busy, failure, isBusy } from "../parts.js";
import { callAsMe } from "../session.js";

const CARDS = [
  ["pm_card_visa", "Visa", "4242", "is accepted"],
  ["pm_card_authenticationRequired", "Visa", "3155", "the bank asks you to confirm"],
  ["pm_card_insufficientFunds", "Visa", "9995", "has not enough money on it"],
  ["pm_card_chargeDeclined", "Visa", "0002", "is declined"],
];
const NOT_THERE_YET = new Set(["not-found", "order-not-payable"]);
const TRIES = 6;

/** The panel of an order that can be paid; `changed` is called whenever the payment may have moved the order. */
export function payPanel(order, { signal, changed }) {
  const body = h("div", {});
  const panel = { order, signal, changed, body };
  show(body, cardForm(panel));
  resume(panel);
  return h("section", { class: "panel pay", "aria-labelledby": "pay-title" }, h("h2", { id: "pay-title" }, `Pay ${money(order.total)}`), deadline(order), body);
}

const deadline = ({ pay_by }) => h("p", { class: "muted" }, pay_by ? `The books are held until ${minuteOf(pay_by)}. Test cards only: nothing is charged.` : "Test cards only: nothing is charged.");

function cardForm(panel, refusal) {
  const cards = CARDS.map(([value, brand, digits, what], index) =>
    h(
      "label",
      { class: "card-choice" },
      h("input", { type: "radio", name: "card", value, checked: index === 0 }),
      h("span", { class: "card-face" }, h("span", { class: "card-brand" }, `${brand} `, h("span", { class: "card-digits" }, `•••• ${digits}`)), h("span", { class: "muted" }, what)),
    ),
  );
  const trouble = h("div", {}, refusal);
  const button = h("button", { class: "button primary" }, `Pay ${money(panel.order.total)}`);
  const form = h("form", {}, h("fieldset", { class: "cards" }, h("legend", { class: "visually-hidden" }, "Test card"), cards), trouble, button);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!isBusy(button)) busy(button, () => attempt(panel, form.elements.card.value, trouble));
  });
  return form;
}

async function attempt(panel, method, trouble) {
  show(trouble);
  try {
    settle(panel, await payWhenReady(panel, method));
  } catch (error) {
    if (error.name === "AbortError") return;
    show(trouble, failure(error.isTrouble ? safely(error) : error));
    panel.changed().catch(() => {});
  }
}

const safely = (error) => ({ headline: error.headline, advice: "You can press the button again: the same attempt is never charged twice. The books stay held until the time above." });

// The order may be payable here a moment before the payment service has heard of it.
async function payWhenReady(panel, method) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await pay(panel.order.id, method);
    } catch (error) {
      if (tries === TRIES || !NOT_THERE_YET.has(error.slug)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 250 * tries));
      panel.signal.throwIfAborted();
    }
  }
}

function settle(panel, payment) {
  switch (payment.status) {
    case "declined":
      show(panel.body, cardForm(panel, failure({ headline: declineWord(payment.decline_code), advice: "Nothing was charged and the books are still held. Choose another card." })));
      panel.body.querySelector("input").focus();
      break;
    case "requires_action":
      show(panel.body, challenge(panel, payment));
      panel.body.querySelector("button").focus();
      break;
    default:
      announce("Thank you. The payment is being processed.");
      show(panel.body, h("p", { class: "waiting" }, "The bank has the payment. This page follows it."));
      panel.changed().catch(() => {});
  }
}

/** Where the bank's own page would be. Whoever does not come back from there pays anew: the shop lets the first one go. */
function challenge(panel, payment) {
  const trouble = h("div", {});
  const button = h("button", { type: "button", class: "button primary" }, "Yes, it is me");
  const confirm = async () => {
    show(trouble);
    try {
      settle(panel, await confirmPayment(payment.id));
    } catch (error) {
      show(trouble, failure(error));
    }
  };
  button.addEventListener("click", () => isBusy(button) || busy(button, confirm));
  const leave = () => {
    if (isBusy(button)) return; // the bank has the answer already
    show(panel.body, cardForm(panel));
    panel.body.querySelector("input").focus();
  };
  const other = h("button", { type: "button", class: "button quiet", on: { click: leave } }, "Use another card");
  return h(
    "div",
    { class: "challenge" },
    h("h3", {}, "Your bank asks"),
    h("p", {}, `Are you paying ${money(panel.order.total)} to Orderflow Books?`),
    trouble,
    h("div", { class: "choices" }, button, other),
    h("p", { class: "muted" }, "Another card takes the place of this one; only one is ever charged."),
  );
}

/** After a reload: an attempt that still waits for the bank or the customer is taken up again. */
async function resume(panel) {
  try {
    const found = await callAsMe(`/payments?order_id=${panel.order.id}`, { signal: panel.signal });
    const open = found.items.find(({ status }) => status === "requires_action" || status === "pending");
    if (open && !panel.body.contains(document.activeElement)) settle(panel, open);
  } catch {
    // Nothing to take up: the form is there, and paying says what is wrong if it still is.
  }
}

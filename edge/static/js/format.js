// Words and numbers as a reader expects them.

const LOCALE = navigator.language || "en";
const formats = new Map();

/** `{amount: 1999, currency: "EUR"}` as "€19.99"; the currency says how many minor digits it has. */
export function money({ amount, currency }) {
  if (!formats.has(currency)) formats.set(currency, new Intl.NumberFormat(LOCALE, { style: "currency", currency }));
  const format = formats.get(currency);
  return format.format(amount / 10 ** format.resolvedOptions().maximumFractionDigits);
}

const clock = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minute = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short", year: "numeric" });

export const timeOf = (iso) => clock.format(new Date(iso));
export const minuteOf = (iso) => minute.format(new Date(iso));
export const dayOf = (iso) => day.format(new Date(iso));

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** What people call an order's number: short enough to read out, long enough to tell two apart. */
export const orderName = (id) => id.replaceAll("-", "").slice(-6).toUpperCase();

const STATUS = {
  pending: "Checking stock",
  awaiting_payment: "Waiting for payment",
  confirmed: "Payment approved",
  paid: "Paid",
  fulfilled: "Sent",
  rejected: "Not available",
  cancelled: "Cancelled",
  refunding: "Refund on its way",
  refunded: "Refunded",
};

export const statusWord = (status) => STATUS[status] ?? status.replaceAll("_", " ");

const REASON = {
  out_of_stock: "A book was sold before this order could hold it. Nothing was charged.",
  stock_timeout: "The stock could not be confirmed in time. Nothing was charged.",
  payment_timeout: "It was not paid in time, so the books went back on the shelf.",
  capture_failed: "The bank approved the payment and then refused to settle it. Nothing was charged.",
  customer: "You cancelled it.",
};

export const reasonWord = (reason) => (reason ? (REASON[reason] ?? `Reason given: ${reason.replaceAll("_", " ")}.`) : "");

const DECLINED = {
  card_declined: "The bank declined the card.",
  generic_decline: "The bank declined the card.",
  insufficient_funds: "There is not enough money on the card.",
  authentication_failed: "The bank could not confirm that it was you.",
};

export const declineWord = (code) => DECLINED[code] ?? "The payment did not go through.";

/** "Only 2 left", and whether that is good news. */
export function stockWord(available) {
  if (available <= 0) return { text: "Out of stock", level: "none" };
  if (available <= 3) return { text: `Only ${available} left`, level: "low" };
  return { text: "In stock", level: "good" };
}

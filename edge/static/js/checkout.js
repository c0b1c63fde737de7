// Placing and paying exactly once: each intent has one key, kept until the shop has given a final answer to it.

import { callAsMe } from "./session.js";

const STORE = "orderflow.intents";
const NOT_FINAL = new Set([0, 401, 408, 425, 429, 500, 502, 503, 504]);

/** Places the order. The same basket sent again after a lost answer is the same order. */
export async function placeOrder(lines, total) {
  const body = { lines: lines.map(({ sku, quantity }) => ({ sku, quantity })), expected_total: total };
  return once("order", "/orders", body);
}

/** One attempt to pay. A new attempt after a refusal is a new payment; after a lost answer it is the same one. */
export async function pay(orderId, method) {
  return once(`pay:${orderId}`, "/payments", { order_id: orderId, payment_method: method });
}

export const confirmPayment = (id) => callAsMe(`/payments/${id}/confirm`, { method: "POST", headers: { "Idempotency-Key": `confirm-${id}` } });

export const cancelOrder = (id) => callAsMe(`/orders/${id}/cancel`, { method: "POST", headers: { "Idempotency-Key": `cancel-${id}` } });

async function once(intent, path, body) {
  const key = keyFor(intent, JSON.stringify(body));
  try {
    const answer = await callAsMe(path, { method: "POST", body, headers: { "Idempotency-Key": key } });
    drop(intent);
    return answer;
  } catch (error) {
    if (isFinal(error)) drop(intent);
    throw error;
  }
}

const isFinal = ({ status, slug }) => status !== undefined && !NOT_FINAL.has(status) && slug !== "idempotency-in-progress";

function keyFor(intent, content) {
  const kept = intents();
  if (kept[intent]?.content !== content) kept[intent] = { content, key: crypto.randomUUID() };
  sessionStorage.setItem(STORE, JSON.stringify(kept));
  return kept[intent].key;
}

function drop(intent) {
  const { [intent]: _, ...rest } = intents();
  sessionStorage.setItem(STORE, JSON.stringify(rest));
}

const intents = () => JSON.parse(sessionStorage.getItem(STORE) ?? "{}");

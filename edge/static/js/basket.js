// The basket: kept on this device, so it survives reloads, sign-in and a shop that is down.

const STORE = "orderflow.basket";
export const MOST = 99;

const listeners = new Set();

export const onBasketChange = (listener) => listeners.add(listener);

/** Lines as `{sku, title, author, category, price, quantity}`, in the order they were added. */
export function lines() {
  try {
    const kept = JSON.parse(localStorage.getItem(STORE) ?? "[]");
    return Array.isArray(kept) ? kept : [];
  } catch {
    return []; // edited by hand, perhaps: an empty basket is better than a broken page
  }
}

export const count = () => lines().reduce((sum, line) => sum + line.quantity, 0);

export function total(of = lines()) {
  return { amount: of.reduce((sum, line) => sum + line.price.amount * line.quantity, 0), currency: of[0]?.price.currency ?? "EUR" };
}

export function add(product, quantity = 1) {
  const all = lines();
  const line = all.find(({ sku }) => sku === product.sku);
  if (line) Object.assign(line, remembered(product), { quantity: Math.min(MOST, line.quantity + quantity) });
  else all.push({ ...remembered(product), quantity });
  keep(all);
}

export function setQuantity(sku, quantity) {
  keep(lines().map((line) => (line.sku === sku ? { ...line, quantity: Math.min(MOST, Math.max(1, quantity)) } : line)));
}

export function remove(sku) {
  keep(lines().filter((line) => line.sku !== sku));
}

/** Takes over today's title and price of a product; true if its price had changed. */
export function refresh(product) {
  const before = lines().find(({ sku }) => sku === product.sku);
  if (!before) return false;
  keep(lines().map((line) => (line.sku === product.sku ? { ...line, ...remembered(product) } : line)));
  return before.price.amount !== product.price.amount;
}

export const empty = () => keep([]);

const remembered = ({ sku, title, author, category, price }) => ({ sku, title, author, category, price });

function keep(all) {
  localStorage.setItem(STORE, JSON.stringify(all));
  listeners.forEach((listener) => listener());
}

window.addEventListener("storage", ({ key }) => key === STORE && listeners.forEach((listener) => listener()));

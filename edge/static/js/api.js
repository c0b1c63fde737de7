// Talking to the shop: JSON in, JSON out, and one kind of error whatever went wrong.

const SERVICES = { auth: "account", catalog: "catalogue", orders: "order", payments: "payment" };

const STILL_WORKS = {
  account: "You can go on browsing and fill your basket; if you are signed in you stay signed in.",
  catalogue: "Your basket is kept, and orders you have placed go on by themselves.",
  order: "Your basket is kept and you can go on browsing. An order you have placed is safe.",
  payment: "Your order and its books are kept for you while you wait.",
};

/** `status` 0: no answer at all. `slug` is the last part of the problem's type, `errors` its per-field complaints. */
export class ApiError extends Error {
  constructor({ status, slug = "", title = "", detail = "", errors = [], retryAfter = 0, service = "" }) {
    super(detail || title || "The shop did not answer.");
    Object.assign(this, { status, slug, title, detail, errors, retryAfter, service });
  }

  /** Trouble on our side of the counter: trying again later may help. */
  get isTrouble() {
    return this.status === 0 || this.status >= 500 || this.status === 429;
  }

  /** What happened, in the customer's words. */
  get headline() {
    if (this.status === 0) return "The shop cannot be reached.";
    if (this.status === 429) return "That was a lot of requests at once.";
    if (this.status >= 500) return `The ${this.service || "shop"} service is not answering right now.`;
    return sentence(this.detail || this.title || "That did not work.");
  }

  /** What the customer can do about it. */
  get advice() {
    if (this.status === 0) return "Check your connection, then try again. Your basket is kept on this device.";
    if (this.status === 429) return `Wait ${this.retryAfter || "a few"} seconds, then try again.`;
    if (this.status >= 500) return STILL_WORKS[this.service] ?? "Try again in a moment.";
    if (this.status === 404) return "It may have been removed, or it belongs to another account.";
    return "";
  }
}

/** The raw answer, or an ApiError for anything but 2xx. */
export async function send(path, { method = "GET", body, headers = {}, signal } = {}) {
  const service = SERVICES[path.split(/[/?]/)[1]] ?? "";
  const request = { method, signal, headers: { Accept: "application/json", ...headers }, credentials: "same-origin" };
  if (body !== undefined) {
    request.body = JSON.stringify(body);
    request.headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({ status: 0, service });
  }
  if (!response.ok) throw await problem(response, service);
  return response;
}

/** The answer's JSON (null when it has none). */
export async function call(path, options) {
  const text = await (await send(path, options)).text();
  return text ? JSON.parse(text) : null;
}

async function problem(response, service) {
  const said = await response.json().catch(() => ({}));
  return new ApiError({
    status: response.status,
    slug: String(said.type ?? "").split("/").pop(),
    title: said.title,
    detail: said.detail,
    errors: said.errors,
    retryAfter: Number(response.headers.get("Retry-After")) || 0,
    service,
  });
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

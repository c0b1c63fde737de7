// Who is signed in. The access token lives in this module's memory and nowhere else; the refresh token is a cookie
// no script can read. Storage holds only a hint that there may be such a cookie, so visitors are not asked for one.

import { ApiError, call, send } from "./api.js";

const HINT = "orderflow.signed-in";
const SAME_SITE = { "X-Requested-With": "orderflow" }; // a header other sites cannot send along with our cookie
const RENEW_BEFORE_MS = 30_000;

let access = null; // { token, until }
let renewing = null;
const listeners = new Set();

export const isSignedIn = () => access !== null || localStorage.getItem(HINT) !== null;

export const onSessionChange = (listener) => listeners.add(listener);

export async function signIn(email, password) {
  keep(await call("/auth/login", { method: "POST", body: { email, password }, headers: SAME_SITE }));
}

export async function register(email, password, name) {
  await call("/auth/register", { method: "POST", body: { email, password, name }, headers: SAME_SITE });
  await signIn(email, password);
}

export async function signOut() {
  try {
    await callAsMe("/auth/logout", { method: "POST", headers: SAME_SITE });
  } finally {
    forget();
  }
}

/** Like `call`, as the signed-in customer. Throws ApiError 401 when there is none (any more). */
export async function callAsMe(path, options) {
  const text = await (await sendAsMe(path, options)).text();
  return text ? JSON.parse(text) : null;
}

/** Like `send`, as the signed-in customer; a token the shop no longer takes is renewed once. */
export async function sendAsMe(path, options = {}) {
  const attempt = async () => send(path, { ...options, headers: { ...options.headers, Authorization: `Bearer ${await token()}` } });
  try {
    return await attempt();
  } catch (error) {
    if (error.status !== 401 || access === null) throw error;
    access = null;
    return attempt();
  }
}

async function token() {
  if (access !== null && Date.now() < access.until - RENEW_BEFORE_MS) return access.token;
  if (!isSignedIn()) throw new ApiError({ status: 401, title: "Sign in first" });
  renewing ??= renew().finally(() => (renewing = null));
  await renewing;
  return access.token;
}

// A refresh token is good for one use, so two tabs must not renew at the same moment.
async function renew() {
  const refresh = async () => keep(await call("/auth/refresh", { method: "POST", headers: SAME_SITE }));
  try {
    await (navigator.locks ? navigator.locks.request("orderflow.refresh", refresh) : refresh());
  } catch (error) {
    if (error.status === 401 || error.status === 403) forget();
    throw error;
  }
}

function keep({ access_token, expires_in }) {
  access = { token: access_token, until: Date.now() + expires_in * 1000 };
  localStorage.setItem(HINT, "yes");
  tell();
}

function forget() {
  access = null;
  localStorage.removeItem(HINT);
  tell();
}

const tell = () => listeners.forEach((listener) => listener());

window.addEventListener("storage", (event) => {
  if (event.key !== HINT) return;
  access = null; // another tab signed in or out: what this one holds may be someone else's
  tell();
});

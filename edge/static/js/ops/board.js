// How the shop is, asked again every few seconds as long as somebody looks.

import { h, show } from "../dom.js";
import { plural, statusWord, timeOf } from "../format.js";
import { heading } from "../parts.js";
import { callAsMe } from "../session.js";
import { audit } from "./audit.js";
import { letters } from "./letters.js";

export const SERVICES = { auth: "/auth", catalog: "/catalog", order: "/orders", payment: "/payments" };
const EVERY_MS = 5000;
const OLD_SECONDS = 60;

/** The whole board. `gone` is called when the session has ended. */
export function board({ signal, gone }) {
  const parts = { verdict: h("p", { class: "verdict", role: "status" }), when: h("p", { class: "muted" }), services: h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Services" }), queues: h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Queues" }), orders: h("div", { class: "orders" }) };
  const dead = letters({ signal, settled: () => look() });
  const auditor = audit({ signal, told: () => answered && judge(parts, answered, auditor.breaches()) });
  let turn = 0;
  let answered = null;

  async function look() {
    clearTimeout(turn);
    if (document.hidden || signal.aborted) return void (parts.when.textContent = "Paused");
    const answers = await ask(signal);
    if (signal.aborted) return;
    if (answers.ended) return gone();
    answered = answers;
    draw(parts, answers);
    judge(parts, answers, auditor.breaches());
    dead.follow(answers.services);
    auditor.follow();
    turn = setTimeout(look, EVERY_MS);
  }

  document.addEventListener("visibilitychange", look, { signal });
  signal.addEventListener("abort", () => clearTimeout(turn));
  look();
  return h(
    "div",
    { class: "page ops" },
    h("div", { class: "ops-head" }, heading("Operations"), parts.when),
    parts.verdict,
    h("div", { class: "ops-columns" }, h("div", {}, panel("Services", parts.services), panel("Audit", auditor.node), panel("Orders on their way", parts.orders)), h("div", {}, panel("Dead letters", dead.node), panel("Queues", parts.queues))),
  );
}

const panel = (title, body) => h("section", { class: "panel" }, h("h2", {}, title), body);

async function ask(signal) {
  const one = (path) => callAsMe(path, { signal }).catch((error) => ({ error }));
  const names = Object.keys(SERVICES);
  const [unfinished, ...found] = await Promise.all([one("/orders/operations/unfinished"), ...names.map((name) => one(`${SERVICES[name]}/operations`))]);
  const services = Object.fromEntries(names.map((name, index) => [name, found[index]]));
  return { services, unfinished, ended: [unfinished, ...found].some(({ error }) => error?.status === 401) };
}

function draw(parts, { services, unfinished }) {
  parts.when.textContent = `Live · ${timeOf(new Date().toISOString())}`;
  const all = Object.entries(services);
  show(parts.services, serviceTable(all));
  show(parts.queues, queueTable(all));
  show(parts.orders, unfinished.error ? h("p", { class: "bad" }, "order does not answer: nothing is known about orders now.") : orderTables(unfinished));
  linkBroker(all);
}

/** The one line that says whether there is something to do. */
function judge(parts, { services }, breaches) {
  const all = Object.entries(services);
  const ill = all.filter(([, told]) => told.error || Object.keys(told.failing).length);
  const dead = all.reduce((sum, [name, told]) => sum + (told.queues?.find(({ queue }) => queue === `${name}.dead`)?.ready ?? 0), 0);
  const verdict = [ill.length ? `Not working: ${ill.map(([name]) => name).join(", ")}` : "All services work", dead > 0 && plural(dead, "dead letter"), breaches > 0 && `The audit found ${plural(breaches, "breach", "breaches")}`].filter(Boolean).join(" · ");
  if (parts.verdict.textContent !== verdict) parts.verdict.textContent = verdict; // said once, not every five seconds
  parts.verdict.className = `verdict ${ill.length || dead || breaches ? "bad" : "good"}`;
}

function serviceTable(all) {
  const rows = all.map(([name, told]) => {
    if (told.error) return [name, h("span", { class: "bad" }, unheard(told.error)), "", "", ""];
    const failing = Object.entries(told.failing).map(([check, why]) => `${check}: ${why}`);
    const { pending, parked, oldest_pending_at: oldest } = told.outbox;
    const waits = pending ? `${pending}, ${age(oldest, told.at)}` : "0";
    return [
      name,
      failing.length ? h("span", { class: "bad" }, failing.join("; ")) : h("span", { class: "good" }, "works"),
      told.version,
      h("span", { class: seconds(oldest, told.at) > OLD_SECONDS ? "bad" : "" }, waits),
      h("span", { class: parked ? "bad" : "" }, parked),
    ];
  });
  return table(["Service", "State", "Version", "Outbox", "Parked"], rows, [3, 4]);
}

const unheard = (error) => (error.status === 0 || error.status >= 500 ? "does not answer" : error.headline);

function queueTable(all) {
  const queues = new Map(); // the retry tiers are everybody's: whoever answers tells of them
  for (const [, told] of all) for (const each of told.queues ?? []) queues.set(each.queue, each);
  if (queues.size === 0) return h("p", { class: "bad" }, all.find(([, told]) => told.broker_error)?.[1].broker_error ?? "No service can tell.");
  const rank = ({ queue }) => ["inbox", "dead"].indexOf(queue.split(".").pop()) + (queue.startsWith("shop.") ? 3 : 0);
  const rows = [...queues.values()].sort((one, other) => rank(one) - rank(other)).map(({ queue, ready, consumers }) => {
    const alarming = queue.endsWith(".dead") && ready > 0;
    const unread = queue.endsWith(".inbox") && consumers === 0;
    return [queue, h("span", { class: alarming ? "bad" : "" }, ready), h("span", { class: unread ? "bad" : "" }, queue.endsWith(".inbox") ? consumers : "–")];
  });
  return table(["Queue", "Waiting", "Consumers"], rows, [1, 2]);
}

function orderTables({ states, oldest, at }) {
  if (states.length === 0) return h("p", { class: "muted" }, "No order is on its way.");
  return [
    table(["State", "Orders", "Longest"], states.map(({ status, count, oldest_since }) => [statusWord(status), count, age(oldest_since, at)]), [1, 2]),
    h("h3", {}, "Not moved for longest"),
    table(["Order", "State", "For"], oldest.map(({ id, status, since }) => [h("span", { class: "id" }, id), statusWord(status), age(since, at)]), [2]),
  ];
}

function linkBroker(all) {
  const link = document.getElementById("broker-page");
  const address = all.map(([, told]) => told.broker_page).find((page) => /^https?:\/\//.test(page ?? ""));
  link.hidden = !address;
  if (address) link.href = address;
}

function table(titles, rows, numbers = []) {
  const cell = (tag) => (content, index) => h(tag === "td" && index === 0 ? "th" : tag, { class: numbers.includes(index) ? "number" : null, scope: tag === "th" ? "col" : index === 0 ? "row" : null }, content);
  return h("table", {}, h("thead", {}, h("tr", {}, titles.map(cell("th")))), h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell("td"))))));
}

const seconds = (since, at) => (since ? Math.max(0, Math.round((Date.parse(at) - Date.parse(since)) / 1000)) : 0);

export function age(since, at) {
  const of = seconds(since, at);
  if (of < 120) return `${of} s`;
  if (of < 7200) return `${Math.floor(of / 60)} min`;
  return of < 172_800 ? `${Math.floor(of / 3600)} h` : `${Math.floor(of / 86_400)} d`;
}

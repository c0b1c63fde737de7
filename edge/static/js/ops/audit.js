// The last audit: whether the shop adds up, what does not and what to do about it, and one more now.

import { h, show } from "../dom.js";
import { dayOf, plural, timeOf } from "../format.js";
import { busy, isBusy } from "../parts.js";
import { callAsMe } from "../session.js";
import { age } from "./board.js";

const ASK_AGAIN_MS = 60_000;
const LATE = 3; // so many missed turns make a result old

const WORDS = {
  sound: () => ["good", "Stock, money and messages add up."],
  moving: ({ counts }) => ["good", `Nothing is wrong; ${plural(counts.moving, "thing")} under way could not be compared to the end.`],
  breach: ({ counts }) => ["bad", `${plural(counts.breaches, "breach", "breaches")}: the shop does not add up.`],
};

/** `node` to show, `follow` to call at each look, `breaches` as last heard. `told` is called when an answer has come. */
export function audit({ signal, told }) {
  const result = h("p", { class: "audit-result" }, "Looking…");
  const when = h("p", { class: "muted" });
  const trouble = h("p", { class: "bad", hidden: true });
  const found = h("div", { class: "findings" });
  const run = h("button", { type: "button", class: "button", hidden: true }, "Run one now");
  let heard = null;
  let drawn = "";
  let silentUntil = 0;

  async function ask(path, options) {
    try {
      hear(await callAsMe(path, { signal, ...options }));
    } catch (error) {
      if (error.name === "AbortError" || error.status === 401) return;
      missed(error);
    }
    told();
  }

  function hear(answer) {
    heard = answer;
    const { last, running, trouble: why } = answer;
    say(last ? WORDS[last.result](last) : ["", "No audit has been run yet."]);
    when.textContent = [running && "One is running now", last && told_at(answer), rhythm(answer)].filter(Boolean).join(" · ");
    when.classList.toggle("low", isOld(answer));
    trouble.hidden = !why;
    trouble.textContent = why ? `The attempt at ${timeOf(why.at)} gave no result: ${why.text}` : "";
    run.hidden = false;
    if (!last || last.at === drawn) return;
    drawn = last.at; // drawn once, so that what is open stays open
    show(found, findings(last));
  }

  function missed(error) {
    heard = null;
    drawn = "";
    const absent = error.slug === "service-unavailable" || error.status === 404;
    if (absent) silentUntil = Date.now() + ASK_AGAIN_MS;
    say(absent ? ["", "No auditor answers here."] : ["bad", error.status === 0 ? "The edge does not answer." : error.detail || error.headline]);
    show(when, absent && coded("`make run` and the containers start one. Without it `./shop audit` compares stock, money and messages."));
    when.classList.remove("low");
    run.hidden = trouble.hidden = true;
    show(found);
  }

  function say([kind, words]) {
    result.className = `audit-result ${kind}`;
    if (result.textContent !== words) result.textContent = words;
  }

  run.addEventListener("click", () => isBusy(run) || busy(run, () => ask("/audit/runs", { method: "POST" })));
  return {
    node: h("div", { class: "audit" }, result, when, trouble, found, h("div", {}, run)),
    follow: () => Date.now() >= silentUntil && ask("/audit"),
    breaches: () => heard?.last?.counts.breaches ?? 0,
  };
}

function told_at({ last, now }) {
  const today = dayOf(last.at) === dayOf(now);
  return `${age(last.at, now)} ago, at ${today ? "" : `${dayOf(last.at)}, `}${timeOf(last.at)}`;
}

const rhythm = ({ every_seconds: every }) => (every ? `run every ${every < 120 ? `${every} s` : `${Math.round(every / 60)} min`}` : "run only when asked");

const isOld = ({ last, now, every_seconds: every }) => Boolean(last && every) && Date.parse(now) - Date.parse(last.at) > LATE * every * 1000;

function findings(last) {
  const asides = [["moving", "Under way"], ["notes", "Worth knowing"]].filter(([kind]) => last[kind].length > 0);
  const blind = last.checks.filter(({ result }) => result === "not looked at").map(({ check }) => check);
  return [
    list(last, "breaches"),
    asides.map(([kind, title]) => h("details", {}, h("summary", {}, `${title}: ${last.counts[kind]}`), list(last, kind))),
    blind.length > 0 && h("p", { class: "muted" }, `Not looked at: ${blind.join(", ")}.`),
  ];
}

function list(last, kind) {
  const rest = last.counts[kind] - last[kind].length;
  return [h("ul", {}, last[kind].map((finding) => entry(finding, last, kind))), rest > 0 && h("p", { class: "muted" }, `… and ${rest} more: ./shop audit --json has all.`)];
}

function entry({ check, text, ids, seconds }, { checks, at }, kind) {
  const more = ids.filter((id) => !text.includes(id));
  const since = seconds === null ? "" : ` (for ${age(new Date(Date.parse(at) - seconds * 1000).toISOString(), at)})`;
  const todo = checks.find((each) => each.check === check)?.do;
  return h(
    "li",
    { class: "finding" },
    h("p", {}, h("strong", {}, check), `: ${text}${since}`),
    more.length > 0 && h("p", { class: "id" }, more.join(" ")),
    kind === "breaches" && todo && h("p", { class: "todo" }, h("strong", {}, "To do: "), coded(todo)),
  );
}

/** Text with its `commands` set as such. */
const coded = (text) => text.split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part));

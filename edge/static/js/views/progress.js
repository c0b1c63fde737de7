// An order's way as steps that light up, and its timeline entry by entry.

import { h } from "../dom.js";
import { statusWord, timeOf } from "../format.js";

const STEPS = [
  ["pending", "Ordered"],
  ["awaiting_payment", "Books held"],
  ["confirmed", "Payment approved"],
  ["paid", "Paid"],
  ["fulfilled", "Sent"],
];
const ENDS = new Set(["rejected", "cancelled", "refunding", "refunded"]);

/** The steps with the time and the service of each; an order that ended early shows where it did. */
export function progress(status, entries) {
  const reached = new Map();
  for (const entry of entries) if (entry.status && !reached.has(entry.status)) reached.set(entry.status, entry);
  const ended = ENDS.has(status);
  const way = ended ? [...STEPS.filter(([name]) => reached.has(name)), [status, statusWord(status)]] : STEPS;
  const at = way.findIndex(([name]) => name === status);
  const steps = way.map(([name, label], index) => {
    const state = index < at ? "done" : index === at ? (ended ? "ended" : "now") : "ahead";
    return step(label, state, index <= at ? reached.get(name) : undefined);
  });
  return h("ol", { class: "steps", "aria-label": "Progress" }, steps);
}

function step(label, state, entry) {
  return h(
    "li",
    { class: `step ${state}`, "aria-current": state === "now" || state === "ended" ? "step" : null },
    h("span", { class: "step-mark", "aria-hidden": "true" }),
    h("span", { class: "step-label" }, label, state === "ahead" && h("span", { class: "visually-hidden" }, ", still to come")),
    h("span", { class: "step-note" }, entry ? `${timeOf(entry.at)} · ${entry.service}` : "\u00a0"),
  );
}

export function timelineEntry({ at, service, event, text }) {
  return h(
    "li",
    {},
    h("time", { datetime: at }, timeOf(at)),
    h("span", { class: "entry-words" }, text, h("span", { class: "entry-source" }, h("span", { class: "service" }, service), event)),
  );
}

// Dead letters: what the services could not handle, and what becomes of it. Nothing is done before it is confirmed.

import { announce, h, show } from "../dom.js";
import { dayOf, plural, timeOf } from "../format.js";
import { busy, failure, field, isBusy } from "../parts.js";
import { callAsMe } from "../session.js";
import { SERVICES } from "./board.js";

const DONE = new Set(["redriven", "discarded"]);

/** `node` to show, and `follow` to call with the services' answers: letters are looked at when their number changes. */
export function letters({ signal, settled }) {
  const node = h("div", { class: "letters" }, h("p", { class: "muted" }, "Looking…"));
  const lists = Object.fromEntries(Object.keys(SERVICES).map((name) => [name, { ready: null, node: h("div", {}) }]));
  const none = h("p", { class: "muted" }, "There are none.");
  show(node, none, Object.values(lists).map((list) => list.node));

  async function load(name) {
    const list = lists[name];
    try {
      const page = await callAsMe(`${SERVICES[name]}/dead-letters`, { signal });
      show(list.node, page.items.map((letter) => card(name, letter, { signal, again: () => load(name).then(settled) })), page.more && h("p", { class: "muted" }, `${name}: ${plural(page.total, "letter")} in all; the oldest are shown.`));
    } catch (error) {
      if (error.name === "AbortError") return;
      list.ready = null;
      show(list.node, failure(error, () => load(name)));
    }
    none.hidden = Object.values(lists).some((each) => each.node.childElementCount > 0);
  }

  function follow(services) {
    for (const [name, told] of Object.entries(services)) {
      const ready = told.queues?.find(({ queue }) => queue === `${name}.dead`)?.ready;
      if (ready === undefined || ready === lists[name].ready) continue;
      lists[name].ready = ready;
      load(name);
    }
  }
  return { node, follow };
}

function card(name, letter, { signal, again }) {
  const path = `${SERVICES[name]}/dead-letters`;
  const body = h("div", {});
  const open = h("button", { type: "button", class: "button quiet", "aria-expanded": "false" }, "Show");
  open.addEventListener("click", () => isBusy(open) || busy(open, toggle));

  async function toggle() {
    if (open.getAttribute("aria-expanded") === "true") {
      open.setAttribute("aria-expanded", "false");
      open.textContent = "Show";
      return show(body);
    }
    try {
      const told = await callAsMe(`${path}/${encodeURIComponent(letter.id)}`, { signal });
      show(body, h("pre", { tabindex: "0", "aria-label": "Body of the letter" }, pretty(told.body)), !told.complete && h("p", { class: "muted" }, "The body is longer; this is its beginning."));
      open.setAttribute("aria-expanded", "true");
      open.textContent = "Hide";
    } catch (error) {
      show(body, failure(error));
    }
  }

  const settle = async (verb, given) => {
    const { items } = await callAsMe(`${path}/${verb}`, { method: "POST", body: { ids: [letter.id], ...given } });
    const { outcome, detail } = items[0];
    announce(DONE.has(outcome) ? `The letter is ${outcome}.` : `Not done: ${detail || outcome.replaceAll("_", " ")}.`);
    await again();
  };
  const since = letter.died_at ? `${dayOf(letter.died_at)}, ${timeOf(letter.died_at)}` : "no time known";
  const button = (label, kind, click) => h("button", { type: "button", class: `button ${kind}`, on: { click } }, label);
  return h(
    "article",
    { class: "letter", "data-letter": letter.id },
    h("h3", {}, `${name} · ${letter.type}`),
    h("p", {}, h("strong", {}, letter.error_type ?? letter.reason.replaceAll("_", " ")), letter.error_message && `: ${letter.error_message}`),
    h("p", { class: "muted" }, `${since} · ${plural(letter.attempt, "attempt")}${letter.redrives ? ` · redriven ${plural(letter.redrives, "time")}` : ""} · `, h("span", { class: "id" }, letter.id)),
    body,
    h(
      "div",
      { class: "letter-actions" },
      open,
      button("Redrive", "", () => confirm({ title: "Try this letter again?", text: `It goes back to ${name}, which handles it once. Mend the cause first.`, label: "Redrive", act: () => settle("redrive", {}) })),
      button("Discard", "quiet danger", () => confirm({ title: "Throw this letter away?", text: "Its body is gone for good. Its id, your id and the reason are kept.", label: "Discard", reason: true, act: (reason) => settle("discard", { reason }) })),
    ),
  );
}

function confirm({ title, text, label, reason, act }) {
  const said = h("div", {});
  const yes = h("button", { class: "button primary" }, label);
  const no = h("button", { type: "button", class: "button quiet", on: { click: () => dialog.close() } }, "Keep it");
  const why = reason && field("Reason", { id: "reason", required: true, maxlength: 200, autocomplete: "off" }, "No personal data.");
  const form = h("form", {}, h("h2", { id: "dialog-title" }, title), h("p", {}, text), why, said, h("div", { class: "dialog-actions" }, no, yes));
  const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (isBusy(yes)) return;
    busy(yes, async () => {
      try {
        await act(reason ? form.elements.reason.value.trim() : undefined);
        dialog.close();
      } catch (error) {
        show(said, failure(error));
      }
    });
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function pretty(body) {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body; // not JSON, which may be why it is here
  }
}

// Pieces more than one page is made of.

import { cover } from "./cover.js";
import { h } from "./dom.js";

/** The page's heading: takes the focus when the page opens, so it is read out first. */
export const heading = (text) => h("h1", { tabindex: "-1" }, text);

/** What went wrong and what to do next; `retry` adds a button. */
export function failure(error, retry) {
  return h(
    "section",
    { class: "failure", role: "alert" },
    h("h2", {}, error.headline ?? "Something went wrong on this page."),
    h("p", {}, error.advice ?? "Reload the page; your basket is kept."),
    retry && h("button", { type: "button", class: "button", on: { click: retry } }, "Try again"),
  );
}

/** Nothing here yet, and where to go from here. */
export const nothing = (text, href, label) =>
  h("section", { class: "nothing" }, h("p", {}, text), href && h("a", { class: "button", href }, label));

export const framed = (product, size = "") => h("div", { class: `frame ${size}` }, cover(product));

/** Lines that stand where text will be, as many as will be needed: nothing jumps when it comes. */
export const placeholder = (...classes) => h("div", { class: "placeholder", "aria-hidden": "true" }, classes.map((name) => h("div", { class: name })));

/** A labelled field with room for a hint and a complaint. */
export function field(label, attributes, hint = "") {
  const { id } = attributes;
  const described = `${id}-note`;
  return h(
    "div",
    { class: "field" },
    h("label", { for: id }, label),
    h("input", { name: id, "aria-describedby": described, ...attributes }),
    h("p", { class: "field-note", id: described, "data-hint": hint }, hint),
  );
}

/** Puts each complaint at its field and returns those that belong to none. */
export function complain(form, errors) {
  for (const note of form.querySelectorAll(".field-note")) {
    note.textContent = note.dataset.hint;
    note.classList.remove("wrong");
  }
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
  return errors.filter(({ pointer = "", message }) => {
    const input = form.elements.namedItem(pointer.split("/").pop());
    if (!input) return true;
    const note = form.querySelector(`#${input.id}-note`);
    note.textContent = message;
    note.classList.add("wrong");
    input.setAttribute("aria-invalid", "true");
    return false;
  });
}

/** Runs `work` with the button held down: no second click, and the waiting is announced. */
export async function busy(button, work) {
  button.setAttribute("aria-disabled", "true");
  button.classList.add("busy");
  try {
    return await work();
  } finally {
    button.removeAttribute("aria-disabled");
    button.classList.remove("busy");
  }
}

export const isBusy = (button) => button.getAttribute("aria-disabled") === "true";

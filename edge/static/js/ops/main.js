// The operators' page: who may see it, and the way in and out.

import { h, show } from "../dom.js";
import { busy, failure, field, heading, isBusy } from "../parts.js";
import { callAsMe, isSignedIn, signIn, signOut } from "../session.js";
import { board } from "./board.js";

const main = document.getElementById("main");
const out = document.getElementById("sign-out");
let leaving = new AbortController();

async function open() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  out.hidden = !isSignedIn();
  document.getElementById("broker-page").hidden = true;
  if (!isSignedIn()) return present(door());
  try {
    const me = await callAsMe("/auth/me", { signal });
    if (signal.aborted) return;
    present(me.roles.includes("operator") ? board({ signal, gone: open }) : refusal());
  } catch (error) {
    if (error.name === "AbortError") return;
    present(error.status === 401 ? door() : trouble(error));
  }
}

function present(node) {
  show(main, node);
  main.querySelector("h1").focus({ preventScroll: true });
}

function door() {
  out.hidden = true;
  const said = h("div", {});
  const button = h("button", { class: "button primary wide" }, "Sign in");
  const fields = [
    field("E-mail", { id: "email", type: "email", autocomplete: "username", required: true, maxlength: 254 }),
    field("Password", { id: "password", type: "password", autocomplete: "current-password", required: true }),
  ];
  const form = h("form", { class: "account" }, fields, said, button);
  const enter = async () => {
    show(said);
    try {
      await signIn(form.elements.email.value.trim(), form.elements.password.value);
      await open();
    } catch (error) {
      const wrong = { headline: "E-mail and password do not match.", advice: "Check both and try again." };
      show(said, failure(error.status === 401 ? wrong : { headline: error.headline, advice: "Nobody can sign in meanwhile; `./shop status` asks the services directly." }));
      form.elements.email.focus();
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!isBusy(button)) busy(button, enter);
  });
  return h("div", { class: "page narrow" }, heading("Operations"), h("p", { class: "muted" }, "For operators of the shop."), form);
}

const refusal = () =>
  h(
    "div",
    { class: "page narrow" },
    heading("This page is for operators"),
    h("p", {}, "You are signed in as a customer. Nothing of the shop’s inside is shown to customers; sign out to come back as an operator."),
    h("p", {}, h("a", { class: "button", href: "/" }, "Go to the shop")),
  );

const trouble = (error) => h("div", { class: "page narrow" }, heading("Operations"), failure(error, open));

out.addEventListener("click", async () => {
  leaving.abort();
  await signOut().catch(() => {}); // forgotten here in any case, which is what was asked for
  open();
});
open();

// Signing in and opening an account.

import { announce, h, show } from "../dom.js";
import { busy, complain, failure, field, heading, isBusy } from "../parts.js";
import { register, signIn } from "../session.js";

const EMAIL = { id: "email", type: "email", autocomplete: "username", required: true, maxlength: 254 };

export function signInView({ query, navigate }) {
  const next = safe(query.get("next"));
  const fields = [field("E-mail", EMAIL), field("Password", { id: "password", type: "password", autocomplete: "current-password", required: true })];
  const submit = ({ email, password }) => signIn(email.value.trim(), password.value);
  return {
    title: "Sign in",
    node: page("Sign in", { fields, submit, label: "Sign in", done: "You are signed in.", next, navigate }, [
      "New here? ",
      h("a", { href: `/register?next=${encodeURIComponent(next)}` }, "Open an account"),
    ]),
  };
}

export function registerView({ query, navigate }) {
  const next = safe(query.get("next"));
  const fields = [
    field("Name", { id: "name", autocomplete: "name", required: true, maxlength: 100 }),
    field("E-mail", EMAIL),
    field(
      "Password",
      { id: "password", type: "password", autocomplete: "new-password", required: true, minlength: 12, maxlength: 128 },
      "At least 12 characters. A short sentence is fine.",
    ),
  ];
  const submit = ({ email, password, name }) => register(email.value.trim(), password.value, name.value.trim());
  return {
    title: "Open an account",
    node: page("Open an account", { fields, submit, label: "Open account", done: "Welcome. You are signed in.", next, navigate }, [
      "Already have one? ",
      h("a", { href: `/sign-in?next=${encodeURIComponent(next)}` }, "Sign in"),
    ]),
  };
}

function page(title, { fields, submit, label, done, next, navigate }, instead) {
  const trouble = h("div", {});
  const button = h("button", { class: "button primary wide" }, label);
  const form = h("form", { class: "account" }, fields, trouble, button);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (isBusy(button)) return;
    busy(button, async () => {
      show(trouble);
      try {
        await submit(form.elements);
        announce(done);
        navigate(next, { replace: true });
      } catch (error) {
        refuse(form, trouble, error);
      }
    });
  });
  return h("div", { class: "page narrow" }, heading(title), form, h("p", { class: "muted" }, instead));
}

function refuse(form, trouble, error) {
  const elsewhere = complain(form, error.errors ?? []);
  const placed = (error.errors?.length ?? 0) > 0 && elsewhere.length === 0;
  if (!placed) show(trouble, failure(explain(error)));
  (form.querySelector("[aria-invalid]") ?? form.elements.email).focus();
}

function explain(error) {
  if (error.slug === "email-taken") return { headline: "There is an account with this e-mail already.", advice: "Sign in with it instead." };
  if (error.status === 401) return { headline: "E-mail and password do not match.", advice: "Check both and try again, or open an account." };
  if (error.slug === "account-disabled") return { headline: "This account is closed.", advice: "You can go on browsing, or open another account." };
  return error;
}

/** Only ever back into this shop, whatever the address says. */
const safe = (next) => (next && /^\/(?![/\\])/.test(next) ? next : "/");

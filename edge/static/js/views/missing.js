// For addresses that lead nowhere.

import { h } from "../dom.js";
import { heading, nothing } from "../parts.js";

export function missingView() {
  const node = h("div", { class: "page narrow" }, heading("There is no page here"), nothing("The address may be old or mistyped.", "/", "Browse the books"));
  return { title: "Not found", node };
}

// Building elements without markup strings: nothing from the API is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `on` holds listeners, `true` sets an empty attribute, `false` and `null` leave it out. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Replaces everything inside `node`. */
export function show(node, ...children) {
  node.replaceChildren(...present(children));
  return node;
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...present(children));
  return element;
}

const present = (children) => children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

let fading;

/** Says something in passing: seen at the foot of the page, read out by screen readers. */
export function announce(text) {
  const toast = document.getElementById("toast");
  clearTimeout(fading);
  toast.textContent = text;
  toast.classList.add("shown");
  fading = setTimeout(() => toast.classList.remove("shown"), 4000);
}

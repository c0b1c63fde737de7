// Book covers drawn from the data: the same book always gets the same colours, pattern and layout.

import { s } from "./dom.js";
import { PATTERNS } from "./patterns.js";

const WIDTH = 200;
const HEIGHT = 300;
const LEADING = 1.16;

// Widths in ems, of the widest serif a reader is likely to have: no font can be measured before it is drawn.
const NARROW = new Set("fijlrtI'’.,:;!| ");
const WIDE = new Set("mwMWQ");

const PALETTES = [
  { ground: "#f3e9d8", ink: "#1d3b36", accent: "#c8553d" },
  { ground: "#1f3a4d", ink: "#f4ead7", accent: "#e0a458" },
  { ground: "#e8d5c4", ink: "#4a2c3a", accent: "#b0413e" },
  { ground: "#26423a", ink: "#f2ead9", accent: "#d9a05b" },
  { ground: "#f1ece2", ink: "#22304f", accent: "#5b7fa6" },
  { ground: "#5c2a33", ink: "#f5e6d3", accent: "#d98e73" },
  { ground: "#d9e0d3", ink: "#2c3d2e", accent: "#7a8f5a" },
  { ground: "#2b2a33", ink: "#eee6d8", accent: "#b7a57a" },
  { ground: "#ead9a8", ink: "#3b2f2f", accent: "#a8572b" },
  { ground: "#3f4a6b", ink: "#f3ecdf", accent: "#e6b89c" },
  { ground: "#dfe6ea", ink: "#243642", accent: "#c0694e" },
  { ground: "#8a3b2a", ink: "#fbefdc", accent: "#efc07b" },
];

/** The cover of a product, as an SVG element for decoration: the title stands in the text beside it. */
export function cover({ sku, title, author }) {
  const random = sequence(sku);
  const palette = PALETTES[random(PALETTES.length)];
  const pattern = PATTERNS[random(PATTERNS.length)];
  const layout = [banded, labelled, open][random(3)];
  return s(
    "svg",
    { class: "cover", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true", focusable: "false" },
    s("rect", { width: WIDTH, height: HEIGHT, fill: palette.ground }),
    layout({ title, author, palette, pattern, random }),
    s("path", { d: `M7 0V${HEIGHT}`, stroke: "#000", "stroke-opacity": ".14", "stroke-width": 1.5 }),
  );
}

/** The pattern above, the words below on the ground colour. */
function banded({ title, author, palette, pattern, random }) {
  return [
    clipped(0, 0, WIDTH, 150, pattern(random, palette)),
    s("path", { d: `M0 150H${WIDTH}`, stroke: palette.ink, "stroke-width": 2 }),
    ...words(title, { x: 20, top: 164, width: 160, height: 92, fill: palette.ink }),
    small(author, { x: 20, y: 282, fill: palette.ink }),
  ];
}

/** The pattern all over, the words on a label. */
function labelled({ title, author, palette, pattern, random }) {
  const label = { x: 26, y: 62, width: 148, height: 140 };
  return [
    clipped(0, 0, WIDTH, HEIGHT, pattern(random, palette)),
    s("rect", { ...label, fill: palette.ground, stroke: palette.ink, "stroke-width": 2 }),
    s("rect", { x: 31, y: 67, width: 138, height: 130, fill: "none", stroke: palette.accent, "stroke-width": 1 }),
    ...words(title, { x: 100, top: 76, width: 122, height: 88, fill: palette.ink, anchor: "middle" }),
    small(author, { x: 100, y: 188, fill: palette.ink, anchor: "middle", width: 126 }),
  ];
}

/** The words above in the open, the pattern at the foot. */
function open({ title, author, palette, pattern, random }) {
  return [
    small(author, { x: 20, y: 32, fill: palette.ink }),
    s("path", { d: "M20 42H60", stroke: palette.accent, "stroke-width": 3 }),
    ...words(title, { x: 20, top: 52, width: 160, height: 104, fill: palette.ink }),
    clipped(0, 170, WIDTH, 130, pattern(random, palette)),
  ];
}

function clipped(x, y, width, height, shapes) {
  // A nested svg clips what is drawn outside it, without an id that would have to be unique in the page.
  return s("svg", { x, y, width, height, viewBox: `0 0 ${width} ${height}`, overflow: "hidden" }, shapes);
}

/** The title, as large as it fits: `height` and `width` in cover units. */
function words(title, { x, top, width, height, fill, anchor = "start" }) {
  const { lines, size } = fitted(title, width, height);
  const start = anchor === "middle" ? top + (height - lines.length * size * LEADING) / 2 : top;
  return lines.map((line, index) =>
    s("text", { class: "cover-title", x, y: start + size * (1 + index * LEADING), fill, "font-size": size, "text-anchor": anchor }, line),
  );
}

function fitted(title, width, height) {
  for (let size = 27; ; size -= 1) {
    const lines = wrap(title, width / size);
    const fits = lines.length * size * LEADING <= height && lines.every((line) => ems(line) * size <= width);
    if (fits || size === 10) return { lines, size };
  }
}

function small(author, { x, y, fill, anchor = "start", width = 160 }) {
  const size = Math.min(11.5, width / (author.length * 0.6));
  return s("text", { class: "cover-author", x, y, fill, "font-size": size.toFixed(1), "text-anchor": anchor }, author);
}

const ems = (text) => [...text].reduce((sum, letter) => sum + em(letter), 0);

function em(letter) {
  if (NARROW.has(letter)) return 0.42;
  if (WIDE.has(letter)) return 1.02;
  return letter === letter.toLowerCase() ? 0.67 : 0.8;
}

function wrap(text, room) {
  const lines = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && ems(`${last} ${word}`) <= room) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** Small numbers that follow from `seed` alone: FNV-1a, then xorshift. */
function sequence(seed) {
  let state = 0x811c9dc5;
  for (const letter of seed) state = Math.imul(state ^ letter.codePointAt(0), 0x01000193);
  state = (state ^ (state >>> 15)) | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

// What covers are decorated with. Each pattern fills 200 by 300 units and starts from the top.

import { s } from "./dom.js";

const range = (from, to, step) => Array.from({ length: Math.ceil((to - from) / step) }, (_, index) => from + index * step);

function rings(random, { accent, ink }) {
  const [x, y] = [40 + random(120), 30 + random(90)];
  return range(14, 300, 14).map((r, index) =>
    s("circle", { cx: x, cy: y, r, fill: "none", stroke: index % 3 ? ink : accent, "stroke-width": index % 3 ? 1.5 : 4 }),
  );
}

function waves(random, { accent, ink }) {
  const height = 6 + random(6);
  return range(8, 310, 17).map((y, index) => {
    const crests = range(0, 240, 40).map((x) => `Q${x + 10} ${y - height * 2} ${x + 20} ${y}T${x + 40} ${y}`).join("");
    return s("path", { d: `M0 ${y}${crests}`, fill: "none", stroke: index % 2 ? accent : ink, "stroke-width": index % 2 ? 4 : 1.8 });
  });
}

function suns(random, { accent, ink }) {
  const step = 50;
  return range(25, 300, step).flatMap((y, row) =>
    range(25, 200, step).map((x, column) => {
      const up = (row + column + random(2)) % 2 === 0;
      return s("path", { d: `M${x - 21} ${y}A21 21 0 0 ${up ? 1 : 0} ${x + 21} ${y}Z`, fill: (row + column) % 3 ? accent : ink });
    }),
  );
}

function dots(random, { accent, ink }) {
  const step = 20 + random(6);
  return range(step / 2, 310, step).flatMap((y, row) =>
    range(step / 2 - (row % 2 ? step / 2 : 0), 215, step).map((x) =>
      s("circle", { cx: x, cy: y, r: random(4) === 0 ? 6.5 : 3.2, fill: random(4) === 0 ? ink : accent }),
    ),
  );
}

function stripes(random, { accent, ink }) {
  const tilt = [-60, 60][random(2)];
  return range(-120, 320, 22).map((x, index) =>
    s("path", { d: `M${x} 0L${x + tilt * 2} 300`, stroke: index % 3 ? accent : ink, "stroke-width": index % 3 ? 9 : 3 }),
  );
}

function tiles(random, { accent, ink }) {
  const size = 40;
  return range(0, 300, size).flatMap((y) =>
    range(0, 200, size).map((x) => {
      const corner = [`M${x} ${y}h${size}v${size}z`, `M${x} ${y}v${size}h${size}z`, `M${x} ${y}h${size}l${-size} ${size}z`][random(3)];
      const fill = random(3) ? accent : ink;
      return s("path", { d: corner, fill, stroke: fill, "stroke-width": 0.4 }); // the stroke closes the seams
    }),
  );
}

function hills(random, { accent, ink }) {
  const sun = s("circle", { cx: 50 + random(100), cy: 48, r: 24, fill: accent });
  const ridges = [76, 104, 136, 180, 230].map((y, index) => {
    const [a, b] = [random(36), random(36)];
    const d = `M0 ${y + a}C60 ${y - 24 + b} 90 ${y + 34 - a} 130 ${y + 6}S180 ${y - 18 + a} 200 ${y + b}V300H0Z`;
    return s("path", { d, fill: index % 2 ? accent : ink, "fill-opacity": 0.45 + index * 0.13 });
  });
  return [sun, ...ridges];
}

function leaves(random, { accent, ink }) {
  return range(20, 310, 34).flatMap((y, row) =>
    range(20, 200, 32).map((x) => {
      const turn = 45 * ((row + random(2)) % 4);
      const fill = random(4) ? accent : ink;
      return s("path", { d: "M0-15C11-7 11 7 0 15C-11 7-11-7 0-15Z", fill, transform: `translate(${x} ${y}) rotate(${turn})` });
    }),
  );
}

export const PATTERNS = [rings, waves, suns, dots, stripes, tiles, hills, leaves];

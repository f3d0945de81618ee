// The strokes that pictures are made of. A picture is 400 by 400; things stand on the ground at y = 318.
//
// Every text here is made of constants and numbers, so nothing from outside can become part of an SVG.

/** The colours of a picture: `ground` behind, then the thing from light to dark, and one more. */
export interface Palette {
  ground: string;
  light: string;
  base: string;
  dark: string;
  accent: string;
}

export type Motif = (colours: Palette) => string;

export const path = (d: string, fill: string): string => `<path d="${d}" fill="${fill}"/>`;

export const line = (d: string, stroke: string, width = 5): string =>
  `<path d="${d}" fill="none" stroke="${stroke}" stroke-width="${width}" stroke-linecap="round" stroke-linejoin="round"/>`;

export const rect = (x: number, y: number, width: number, height: number, fill: string, radius = 0): string =>
  `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="${radius}" fill="${fill}"/>`;

export const oval = (x: number, y: number, rx: number, ry: number, fill: string): string =>
  `<ellipse cx="${x}" cy="${y}" rx="${rx}" ry="${ry}" fill="${fill}"/>`;

/** The shadow under a thing. */
export const shadow = (x: number, halfWidth: number, y = 318): string =>
  `<ellipse cx="${x}" cy="${y}" rx="${halfWidth}" ry="${Math.round(halfWidth / 9) + 3}" fill="#000" opacity=".12"/>`;

/** Light that falls on what lies below, or darkness. */
export const veil = (d: string, strength: number, colour = '#fff'): string =>
  `<path d="${d}" fill="${colour}" opacity="${strength}"/>`;

export const turned = (degrees: number, inner: string, x = 200, y = 200): string =>
  `<g transform="rotate(${degrees} ${x} ${y})">${inner}</g>`;

/** The same again, `count` times, each moved on by `dx` and `dy`. */
export const repeated = (count: number, dx: number, dy: number, inner: (n: number) => string): string =>
  Array.from(
    { length: count },
    (_, n) => `<g transform="translate(${n * dx} ${n * dy})">${inner(n)}</g>`,
  ).join('');

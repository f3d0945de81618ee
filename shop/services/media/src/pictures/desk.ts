// For letters.

import { line, oval, path, rect, repeated, shadow, turned, veil, type Motif } from './shapes.ts';

const INK = '#22242c';

export const notebook: Motif = ({ light, base, dark }) =>
  turned(
    -8,
    rect(104, 76, 200, 250, '#fdf8ec', 4) +
      rect(98, 70, 200, 250, base, 6) +
      veil('M98 76c0-4 2-6 6-6h40v250h-40c-4 0-6-2-6-6z', 0.16, '#000') +
      line('M98 110h26M98 150h26M98 190h26M98 230h26M98 270h26', light, 6) +
      rect(170, 118, 98, 56, light, 4) +
      line('M184 138h70M184 154h44', dark, 4),
  );

export const inkStick: Motif = ({ light, accent }) =>
  shadow(200, 120, 262) +
  turned(
    -14,
    rect(92, 176, 216, 58, INK, 8) +
      veil('M96 180h208v10H96z', 0.25) +
      rect(232, 176, 22, 58, accent) +
      line('M124 206c16-18 26 12 42-6s26 12 42-6', light, 5),
  );

export const inkStone: Motif = ({ light, base, dark }) =>
  shadow(200, 124, 300) +
  path('M92 150c0-14 10-22 24-22h168c14 0 24 8 24 22l14 126c2 16-8 24-24 24H102c-16 0-26-8-24-24z', dark) +
  path('M104 152c0-8 6-12 14-12h164c8 0 14 4 14 12l12 112c0 10-6 16-16 16H108c-10 0-16-6-16-16z', base) +
  path('M118 158c40-10 124-10 164 0l4 40c-50 14-122 14-172 0z', INK) +
  veil('M136 160c30-6 80-8 116-4-40 2-80 8-112 22z', 0.25) +
  path('M112 212c50 12 126 12 176 0l6 46c-60 12-128 12-188 0z', light);

export const brush: Motif = ({ base, dark, accent }) =>
  turned(
    28,
    rect(188, 36, 24, 186, base, 10) +
      veil('M190 44h6v176h-6z', 0.4) +
      rect(184, 210, 32, 26, dark, 4) +
      path('M186 234h28c10 40 2 78-14 112-16-34-24-72-14-112z', '#f2e8d8') +
      path('M188 292h24c0 22-4 38-12 54-8-16-12-32-12-54z', INK) +
      line('M200 36c-20-16 10-34 0-34', accent, 5),
  );

export const pen: Motif = ({ light, base, dark, accent }) =>
  turned(
    40,
    rect(178, 40, 44, 120, base, 20) +
      rect(178, 152, 44, 12, accent, 2) +
      path('M180 164h40l-6 96h-28z', dark) +
      path('M186 260h28l-4 22-10 56-10-56-4-22z', accent) +
      line('M200 284v44', INK, 2) +
      oval(200, 282, 4, 4, INK) +
      rect(216, 60, 8, 86, accent, 4) +
      veil('M184 56c0-10 6-14 10-14v110h-10z', 0.3) +
      line('M196 60c-4 30 8 50-2 84', light, 2),
  );

export const inkBottle: Motif = ({ light, base, dark }) =>
  shadow(200, 92) +
  rect(166, 96, 68, 46, dark, 8) +
  line('M178 100v38M192 100v38M208 100v38M222 100v38', base, 3) +
  path(
    'M172 142h56v16c44 8 70 26 70 56v80c0 16-10 24-26 24H128c-16 0-26-8-26-24v-80c0-30 26-48 70-56z',
    base,
  ) +
  path('M112 218c60-14 116-14 176 0v72c0 12-8 18-20 18H132c-12 0-20-6-20-18z', INK) +
  rect(140, 228, 120, 58, light, 4) +
  line('M158 248h84M158 266h54', dark, 4) +
  veil('M116 208c6-20 24-30 44-34-16 20-22 60-18 130h-14c-8 0-12-6-12-14z', 0.25);

export const pencils: Motif = ({ light, base, dark, accent }) =>
  shadow(200, 140, 314) +
  rect(64, 214, 272, 100, dark, 12) +
  repeated(12, 20, 0, (n) => {
    const wood = [base, accent, light][n % 3] ?? base;
    return (
      path('M82 132l8-30 8 30z', '#e7c79a') + path('M87 114l3-12 3 12z', INK) + rect(82, 132, 16, 120, wood)
    );
  }) +
  rect(64, 240, 272, 74, base, 12) +
  veil('M72 248h256v14H72z', 0.25) +
  rect(150, 268, 100, 26, light, 4);

export const deskPad: Motif = ({ light, base, dark, accent }) =>
  shadow(200, 160, 300) +
  path('M78 150h244l42 138c2 8-2 12-10 12H46c-8 0-12-4-10-12z', base) +
  line('M84 160h232l36 126H48z', dark, 2) +
  path('M150 176h92l8 56h-108z', '#fdf8ec') +
  line('M160 192h70M158 206h76M156 220h50', dark, 3) +
  turned(24, rect(268, 168, 12, 92, accent, 5), 274, 214) +
  oval(108, 252, 24, 9, light);

export const cards: Motif = ({ light, base, dark, accent }) =>
  turned(9, rect(120, 96, 188, 232, light, 4)) +
  turned(-6, rect(104, 84, 188, 232, '#fffdf7', 4) + rect(112, 92, 172, 216, light, 2)) +
  turned(
    -6,
    line('M138 276c30-40 60-60 116-148M190 208c22 2 38-6 50-22M168 236c-16-14-18-30-14-46', dark, 5) +
      oval(154, 184, 20, 18, accent) +
      oval(246, 178, 22, 20, accent) +
      oval(212, 240, 18, 16, accent) +
      path('M146 168l8 8 8-8-8-6zM238 160l8 8 8-8-8-6zM205 226l7 8 7-8-7-6z', base),
  );

export const ruler: Motif = ({ light, base, dark }) =>
  turned(
    -28,
    rect(36, 172, 328, 56, base, 4) +
      veil('M36 176h328v10H36z', 0.4) +
      repeated(31, 10.4, 0, (n) => line(`M44 228v-${n % 5 ? 12 : 24}`, dark, 2)) +
      oval(346, 192, 8, 8, dark) +
      oval(346, 192, 5, 5, light),
  );

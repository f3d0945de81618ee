// For water and skin.

import { line, oval, path, rect, repeated, shadow, turned, veil, type Motif } from './shapes.ts';

export const soap: Motif = ({ light, base, dark }) =>
  shadow(200, 130, 298) +
  path('M70 214c0-30 24-44 60-44h140c36 0 60 14 60 44v40c0 30-24 44-60 44H130c-36 0-60-14-60-44z', dark) +
  rect(70, 154, 260, 116, base, 44) +
  rect(92, 172, 216, 80, light, 30) +
  line('M168 226c0-30 14-44 32-44s32 14 32 44M200 182v-4M182 214h36', dark, 5) +
  veil('M96 176c20-14 70-18 110-16-50 4-90 14-104 40-10-8-12-18-6-24z', 0.5) +
  oval(316, 132, 18, 18, light) +
  oval(342, 104, 10, 10, light) +
  oval(296, 104, 7, 7, light);

export const bathStool: Motif = ({ light, base, dark }) =>
  shadow(200, 116) +
  path('M96 172h40v146H96zM264 172h40v146h-40z', base) +
  veil('M96 172h12v146H96zM264 172h12v146h-12z', 0.3) +
  rect(110, 240, 180, 24, dark, 4) +
  rect(72, 142, 256, 40, base, 8) +
  rect(72, 142, 256, 20, light, 8) +
  line('M90 152h90M200 152h70M110 170h120', dark, 2) +
  line('M110 194v110M122 200v90M280 194v110M290 200v90', dark, 2);

export const washCloth: Motif = ({ light, base, dark, accent }) =>
  line('M92 96h216', dark, 12) +
  oval(92, 96, 10, 10, dark) +
  oval(308, 96, 10, 10, dark) +
  path('M116 96h168v196c-28 14-56-6-84 4s-56 10-84-2z', base) +
  veil('M116 96h56v200c-20 4-38 4-56-2z', 0.2) +
  line('M130 118h140M130 136h140M130 154h140M130 172h140M130 190h140M130 208h140', light, 2) +
  line('M146 108v180M176 108v186M206 108v182M236 108v178M260 108v180', light, 2) +
  rect(116, 238, 168, 12, accent) +
  line('M200 96c-16-20 16-32 0-46', accent, 5);

export const towel: Motif = ({ light, base, dark, accent }) =>
  shadow(200, 118) +
  path('M92 232c0-14 10-22 24-22h168c14 0 24 8 24 22v86H92z', base) +
  line('M92 264h216M92 290h216', dark, 2) +
  oval(132, 190, 44, 42, light) +
  rect(132, 148, 150, 84, light) +
  oval(282, 190, 44, 42, base) +
  line('M282 162c34-6 38 54 4 56-26 0-28-38-4-38 12 0 14 18 2 20', dark, 4) +
  rect(150, 148, 14, 84, accent) +
  rect(172, 148, 5, 84, accent) +
  veil('M132 150h120v14H120z', 0.5);

export const comb: Motif = ({ light, base, dark }) =>
  turned(
    -20,
    path('M68 148c40-40 224-40 264 0v34H68z', base) +
      repeated(20, 13.4, 0, () => path('M69 180h8l-2 92c0 4-4 4-4 0z', base)) +
      veil('M84 150c40-24 120-32 190-18-70 0-130 8-170 30z', 0.5) +
      line('M96 170c60-14 150-14 208 0', dark, 3) +
      line('M120 158c20 10 60-14 90-2s50 4 70-2', light, 4),
  );

export const shavingBrush: Motif = ({ light, base, dark }) =>
  shadow(200, 72) +
  path('M150 92c10-40 90-40 100 0l-14 96h-72z', '#efe6d8') +
  line('M176 76l8 108M200 66v118M224 76l-8 108M160 92l14 92M240 92l-14 92', light, 4) +
  path('M160 186h80l6 26h-92z', dark) +
  path(
    'M156 212h88c-6 26-24 30-22 52 2 20 26 26 28 44 0 8-6 10-14 10h-72c-8 0-14-2-14-10 2-18 26-24 28-44 2-22-16-26-22-52z',
    base,
  ) +
  veil(
    'M166 218h16c2 22 14 30 12 50-2 18-20 24-22 44h-8c-6 0-8-4-6-8 6-16 26-20 26-40 0-22-14-26-18-46z',
    0.35,
  );

export const oilBottle: Motif = ({ light, base, dark, accent }) =>
  shadow(200, 66) +
  rect(180, 62, 40, 40, dark, 6) +
  path(
    'M184 102h32v34c24 10 44 28 44 62v100c0 14-8 20-20 20h-80c-12 0-20-6-20-20V198c0-34 20-52 44-62z',
    base,
  ) +
  path('M148 206h104v88c0 10-6 16-14 16h-76c-8 0-14-6-14-16z', accent) +
  rect(148, 216, 104, 66, light, 2) +
  oval(200, 248, 10, 10, accent) +
  [0, 72, 144, 216, 288].map((turn) => turned(turn, oval(200, 232, 8, 11, '#c4455a'), 200, 248)).join('') +
  oval(200, 248, 5, 5, '#f2c94c') +
  veil('M154 196c2-22 14-36 30-46-10 24-12 80-10 160h-12c-6 0-8-6-8-12z', 0.35);

export const pumice: Motif = ({ light, base, dark }) =>
  oval(200, 300, 160, 20, light) +
  path('M84 236c-4-44 34-88 96-94 70-6 132 30 138 84 4 44-32 68-110 72-80 4-120-16-124-62z', base) +
  veil('M108 222c6-34 40-58 84-62-36 16-54 48-50 112-26-8-38-26-34-50z', 0.35) +
  [
    [140, 210, 9],
    [176, 182, 6],
    [168, 244, 11],
    [212, 214, 8],
    [244, 186, 10],
    [262, 236, 9],
    [226, 264, 7],
    [290, 216, 6],
    [128, 252, 6],
    [200, 166, 4],
  ]
    .map(([x = 0, y = 0, r = 0]) => oval(x, y, r, r * 0.8, dark))
    .join('');

export const basin: Motif = ({ light, base, dark, accent }) =>
  shadow(200, 110, 306) +
  path('M56 168h288c-6 74-52 138-100 138h-88c-48 0-94-64-100-138z', '#fbfaf6') +
  veil('M262 168h82c-6 74-52 138-100 138h-40c34-24 56-76 58-138z', 0.12, dark) +
  oval(200, 166, 150, 36, accent) +
  oval(200, 168, 138, 29, light) +
  oval(200, 178, 118, 19, base) +
  line('M130 178c20-8 50-8 70 0M210 184c16-6 40-6 56 0', light, 4);

export const saltJar: Motif = ({ light, base, dark, accent }) =>
  shadow(200, 84) +
  rect(140, 92, 120, 44, dark, 10) +
  veil('M146 96h108v10H146z', 0.3) +
  path('M132 136h136c16 10 22 24 22 44v116c0 14-8 22-22 22H132c-14 0-22-8-22-22V180c0-20 6-34 22-44z', base) +
  path('M122 206c50-16 106 14 156-4v84c0 14-6 20-18 20H140c-12 0-18-6-18-20z', '#fffdf8') +
  [138, 166, 190, 216, 244, 150, 204, 258].map((x, n) => oval(x, 226 + (n % 3) * 22, 5, 3, accent)).join('') +
  line('M222 296c10-40 20-60 40-82M234 262c14 0 22-6 28-14M242 244c-8-8-10-16-8-24', accent, 4) +
  rect(136, 240, 78, 46, light, 4) +
  line('M148 256h54M148 270h34', dark, 3) +
  veil('M118 176c0-16 6-26 16-34-4 40-4 110 0 170-10-2-16-8-16-18z', 0.35);

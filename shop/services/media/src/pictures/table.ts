// For the table and the kitchen.

import { line, oval, path, rect, repeated, shadow, turned, veil, type Motif } from './shapes.ts';

const STEEL = '#c9ced2';
const STEEL_DARK = '#8b949b';

export const teapot: Motif = ({ light, base, dark }) =>
  shadow(200, 110) +
  line('M286 210c52-8 56 66 2 72', dark, 16) +
  path('M118 222c-40 0-34-56-70-60l-8 16c24 10 22 74 84 84z', base) +
  path('M112 220c0-50 40-72 88-72s88 22 88 72-30 96-64 96h-48c-34 0-64-46-64-96z', base) +
  veil('M134 214c2-34 26-52 56-54-28 12-42 44-38 92-14-6-19-22-18-38z', 0.35) +
  path('M148 156c6-18 28-26 52-26s46 8 52 26c-30 8-74 8-104 0z', light) +
  oval(200, 122, 13, 12, dark) +
  line('M158 262l22 18 18-24 26 22 22-26', light, 2) +
  rect(164, 308, 72, 10, dark, 5);

export const moonJar: Motif = ({ light, base, dark }) =>
  shadow(200, 92) +
  path(
    'M158 112h84l6 22c46 22 66 62 58 106-8 42-38 70-62 78h-88c-24-8-54-36-62-78-8-44 12-84 58-106z',
    light,
  ) +
  veil('M242 134c34 40 34 132 2 184 24-8 54-36 62-78 8-44-12-84-58-106z', 0.14, dark) +
  oval(200, 112, 42, 9, base) +
  oval(200, 112, 34, 5, dark) +
  veil('M118 206c6-30 22-50 44-60-20 26-28 60-24 96-14-8-22-22-20-36z', 0.7) +
  rect(156, 310, 88, 8, base, 4);

export const cutlery: Motif = ({ light, base, dark }) =>
  turned(
    18,
    oval(164, 104, 30, 42, base) +
      veil('M144 104c0-24 10-36 20-38-8 16-10 44-4 74-10-6-16-20-16-36z', 0.4) +
      rect(158, 142, 12, 196, base, 6) +
      rect(214, 62, 9, 276, dark, 4) +
      rect(234, 62, 9, 276, base, 4) +
      rect(214, 62, 9, 40, light, 4) +
      rect(234, 62, 9, 40, light, 4),
  );

export const crock: Motif = ({ light, base, dark }) =>
  shadow(200, 108) +
  path('M136 148h128c44 30 56 70 48 108-6 32-22 52-40 62H128c-18-10-34-30-40-62-8-38 4-78 48-108z', base) +
  veil('M112 230c2-34 20-60 42-72-16 34-18 82-6 138-24-14-38-38-36-66z', 0.22) +
  line('M96 214c64 20 144 20 208 0M96 226c64 20 144 20 208 0', dark, 3) +
  path('M122 132c0-8 34-22 78-22s78 14 78 22v18H122z', dark) +
  path('M176 112c0-14 48-14 48 0z', dark) +
  oval(200, 133, 74, 8, light);

export const bowlWithLid: Motif = ({ light, base, dark, accent }) =>
  shadow(200, 96) +
  path('M96 206h208c0 62-34 104-70 104h-68c-36 0-70-42-70-104z', light) +
  veil('M236 206h68c0 62-34 104-70 104h-30c28-20 36-66 32-104z', 0.12, dark) +
  path('M90 200c8-46 54-72 110-72s102 26 110 72c-60 14-160 14-220 0z', base) +
  veil('M116 186c12-26 38-42 66-46-24 12-40 34-44 54z', 0.5) +
  rect(178, 112, 44, 18, dark, 8) +
  line('M98 226c66 14 138 14 204 0', accent, 4) +
  rect(160, 304, 80, 14, base, 6);

export const ricePot: Motif = ({ light, base, dark }) =>
  shadow(200, 118) +
  rect(66, 206, 46, 18, dark, 9) +
  rect(288, 206, 46, 18, dark, 9) +
  path('M92 190h216v52c0 48-42 76-76 76h-64c-34 0-76-28-76-76z', base) +
  veil('M112 204h24c0 44 6 70 26 100-30-10-50-34-50-62z', 0.25) +
  path('M84 190c0-40 56-62 116-62s116 22 116 62z', dark) +
  veil('M116 176c16-22 44-32 70-34-22 10-36 22-44 34z', 0.3) +
  oval(200, 122, 18, 12, light) +
  rect(84, 184, 232, 12, light, 6);

export const cup: Motif = ({ light, base, dark }) =>
  shadow(200, 70) +
  line('M182 84c-14-16 14-24 0-42M214 88c-14-16 14-24 0-42', light, 5) +
  path('M136 128h128l-14 178c-1 8-8 12-16 12h-68c-8 0-15-4-16-12z', base) +
  veil('M152 140h20l4 166h-10c-4 0-6-2-6-6z', 0.3) +
  path('M139 168h122l-2 26H141z', light) +
  oval(200, 128, 64, 14, dark) +
  oval(200, 131, 54, 9, '#b98a4a');

export const tray: Motif = ({ light, base, dark }) =>
  shadow(200, 150, 292) +
  path('M40 200c0-20 24-30 60-30h200c36 0 60 10 60 30l-18 66c-6 20-28 26-52 26H110c-24 0-46-6-52-26z', base) +
  path('M70 206c0-12 18-18 42-18h176c24 0 42 6 42 18l-12 44c-4 14-22 18-40 18H122c-18 0-36-4-40-18z', dark) +
  line('M92 214c70-16 150 14 216-4M94 236c60-14 140 12 210-6M110 254c50-10 120 8 180-2', base, 3) +
  oval(150, 214, 34, 16, light) +
  oval(150, 210, 26, 11, '#fff') +
  oval(246, 228, 26, 13, light) +
  oval(246, 225, 19, 8, '#7b5b35');

export const knife: Motif = ({ base, dark, light }) =>
  turned(
    -32,
    path('M204 186h134c20 0 22 14 0 24-40 16-92 18-134 14z', STEEL) +
      veil('M204 206c50 4 100 0 144-14-4 8-20 16-40 22-36 10-72 12-104 10z', 0.35, STEEL_DARK) +
      rect(60, 182, 150, 42, base, 18) +
      rect(60, 204, 150, 20, dark, 10) +
      rect(196, 182, 14, 42, STEEL_DARK) +
      oval(96, 203, 5, 5, light) +
      oval(160, 203, 5, 5, light),
  );

export const cloths: Motif = ({ light, base, dark, accent }) =>
  shadow(200, 120) +
  repeated(
    3,
    0,
    -46,
    (n) =>
      rect(84 + n * 8, 272, 232 - n * 16, 46, [base, light, base][n] ?? base, 12) +
      line(`M${84 + n * 8} 296h${232 - n * 16}`, dark, 2) +
      rect(250 - n * 4, 272, 10, 46, accent) +
      rect(268 - n * 4, 272, 4, 46, accent),
  );

// To live with.

import { line, oval, path, rect, repeated, shadow, veil, type Motif } from './shapes.ts';

export const cushion: Motif = ({ light, base, dark }) =>
  shadow(200, 140, 304) +
  path('M64 232c0-30 60-46 136-46s136 16 136 46v30c0 28-60 44-136 44S64 290 64 262z', base) +
  path('M64 232c0-30 60-46 136-46s136 16 136 46-60 44-136 44-136-14-136-44z', light) +
  line('M64 236c10 30 70 42 136 42s126-12 136-42', dark, 4) +
  oval(200, 230, 10, 5, dark) +
  line(
    'M200 230c-30-4-60-10-90-8M200 230c30-4 60-10 90-8M200 230c-10 14-20 24-40 32M200 230c10 14 20 24 40 32',
    base,
    3,
  );

export const mattress: Motif = ({ light, base, dark }) =>
  shadow(200, 140) +
  repeated(
    3,
    0,
    -44,
    (n) =>
      rect(64 + n * 4, 272, 272 - n * 8, 46, n % 2 ? light : base, 22) +
      line(`M${90 + n * 4} 295h${220 - n * 8}`, dark, 2) +
      repeated(5, 52, 0, () => oval(96 + n * 4, 295, 4, 4, dark)),
  ) +
  path('M64 206c0-20 14-28 34-28h206c20 0 34 8 34 26-90 10-180 10-274 2z', light);

export const floorLamp: Motif = ({ light, base, dark }) =>
  oval(200, 176, 150, 150, light) +
  shadow(200, 70) +
  path('M150 78h100l26 190c-40 14-112 14-152 0z', '#fff6dc') +
  veil('M150 78h40l-6 198c-24 0-44-2-60-8z', 0.5) +
  line(
    'M150 78l-26 190M184 78l-8 198M216 78l8 198M250 78l26 190M142 138c38 8 78 8 116 0M134 200c44 10 88 10 132 0',
    base,
    3,
  ) +
  oval(200, 78, 50, 9, base) +
  line('M140 270l-16 46M260 270l16 46M200 276v42', dark, 8);

export const bedsideLamp: Motif = ({ light, base, dark }) =>
  oval(200, 156, 132, 120, light) +
  shadow(200, 76) +
  path('M150 92h100l46 112H104z', '#fff3d6') +
  veil('M150 92h34l-26 112h-54z', 0.55) +
  line('M104 204h192', base, 6) +
  path('M186 206h28c-4 26 26 34 20 62-4 20-14 28-12 44h-44c2-16-8-24-12-44-6-28 24-36 20-62z', base) +
  veil('M190 210c0 26-26 36-20 60 4 16 12 24 12 42h-4c2-16-8-24-12-44-6-28 24-34 24-58z', 0.35) +
  rect(146, 306, 108, 12, dark, 6) +
  line('M254 314c40 4 40-30 84-20', dark, 4);

export const screen: Motif = ({ light, base, dark }) =>
  shadow(200, 160) +
  [0, 1, 2, 3]
    .map((n) => {
      const [x, a, b] = [44 + n * 78, n % 2 ? 92 : 76, n % 2 ? 76 : 92];
      const panel = `M${x} ${a}l78 ${b - a}v${318 - b}h-78z`;
      return (
        path(panel, n % 2 ? light : '#fffaf0') +
        line(
          `${panel}M${x} ${a + 82}l78 ${b - a}M${x} ${a + 164}l78 ${b - a}M${x + 39} ${(a + b) / 2}V318`,
          base,
          4,
        ) +
        line(`M${x} ${a}V318`, dark, 7)
      );
    })
    .join('') +
  line('M356 76V318', dark, 7);

export const stool: Motif = ({ light, base, dark }) =>
  shadow(200, 96) +
  line('M146 170l-30 146M254 170l30 146', base, 18) +
  line('M200 178v138', dark, 18) +
  line('M132 250h136', dark, 8) +
  path('M98 152c0-14 46-24 102-24s102 10 102 24v12c0 16-46 26-102 26S98 180 98 164z', base) +
  oval(200, 152, 102, 24, light) +
  line('M130 150c40-12 100 8 140-4M150 160c30-8 70 6 100-2', base, 2);

export const lowTable: Motif = ({ light, base, dark }) =>
  shadow(200, 140) +
  path('M112 206h26l-8 108h-14zM288 206h-26l8 108h14z', dark) +
  path('M190 214h20v104h-20z', dark) +
  path('M44 188c0-22 70-38 156-38s156 16 156 38v12c0 22-70 36-156 36S44 222 44 200z', base) +
  oval(200, 188, 156, 37, light) +
  line('M80 186c70-22 160 10 236-6M96 202c60-16 140 8 206-6M120 174c50-10 110 4 156-2', base, 2) +
  oval(236, 178, 26, 9, dark) +
  path('M208 146h56l-9 32c-10 6-28 6-38 0z', '#f4efe6') +
  oval(236, 146, 28, 7, '#d8d0c0') +
  oval(236, 147, 22, 5, '#9b7a4c');

export const blanket: Motif = ({ light, base, dark, accent }) =>
  shadow(200, 128) +
  path('M72 176c0-22 14-30 36-30h184c22 0 36 8 36 30v142H72z', base) +
  veil('M72 232h256v86H72z', 0.12, '#000') +
  line('M72 204c80 10 176 10 256 0M72 248c80 10 176 10 256 0', dark, 3) +
  rect(108, 146, 22, 172, accent) +
  rect(138, 146, 6, 172, light) +
  rect(256, 146, 6, 172, light) +
  rect(270, 146, 22, 172, accent) +
  repeated(16, 17, 0, () => line('M73 318v16', dark, 4));

export const pillow: Motif = ({ light, base, dark }) =>
  shadow(200, 134, 300) +
  path('M66 186c40-34 228-34 268 0 20 34 20 60 0 92-40 30-228 30-268 0-20-32-20-58 0-92z', base) +
  veil('M86 196c30-20 120-30 200-16-70 4-140 12-176 44-20 18-30 30-30 44-12-24-10-50 6-72z', 0.4) +
  line(
    'M66 186c16 16 20 24 24 34M334 186c-16 16-20 24-24 34M66 278c16-12 22-20 24-28M334 278c-16-12-22-20-24-28',
    dark,
    3,
  ) +
  repeated(4, 26, 0, () => path('M154 232l8-12 8 12-8 10z', light));

export const waterBottle: Motif = ({ light, base, dark, accent }) =>
  shadow(200, 104) +
  path('M178 86h44v34h-44z', accent) +
  rect(172, 74, 56, 20, dark, 6) +
  path('M176 114h48c52 8 78 48 78 104 0 66-42 100-102 100S98 284 98 218c0-56 26-96 78-104z', base) +
  veil('M116 214c2-44 20-72 50-84-20 28-26 82-14 148-22-10-36-34-36-64z', 0.3) +
  line('M108 184c60 18 124 18 184 0M100 222c64 20 136 20 200 0M108 262c60 18 124 18 184 0', light, 5) +
  line('M140 140v160M170 124v186M200 118v198M230 124v186M260 140v160', dark, 2);

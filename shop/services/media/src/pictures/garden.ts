// For outside.

import { line, oval, path, rect, repeated, shadow, turned, veil, type Motif } from './shapes.ts';

const STEEL = '#aeb6ba';
const STEEL_DARK = '#737d83';
const LEAF = '#5f8a4c';
const SOIL = '#5a4334';

export const hoe: Motif = ({ base, dark, light }) =>
  turned(
    24,
    rect(186, 176, 28, 176, base, 13) +
      veil('M190 184h7v160h-7z', 0.4) +
      rect(184, 162, 32, 24, dark, 4) +
      line('M200 166c0-40-6-62-44-66', STEEL_DARK, 12) +
      path('M164 60l-104 58c26 26 70 26 116-4z', STEEL) +
      veil('M164 60l-104 58c10 6 20 8 30 8z', 0.4) +
      line('M190 330h20', light, 5),
  );

export const shears: Motif = ({ light, base, dark }) =>
  path('M196 204L150 44c-12 20-14 50-4 84l34 84z', STEEL) +
  path('M204 204l46-160c12 20 14 50 4 84l-34 84z', STEEL_DARK) +
  veil('M150 44c-4 34 10 90 36 154l-6 12-34-82c-10-34-8-64 4-84z', 0.35) +
  line('M186 214c-36 30-50 60-58 116', base, 24) +
  line('M214 214c36 30 50 60 58 116', dark, 24) +
  line('M170 238c-20 24-28 50-34 84', light, 4) +
  oval(200, 206, 15, 15, dark) +
  oval(200, 206, 6, 6, STEEL);

export const wateringCan: Motif = ({ light, base, dark, accent }) =>
  shadow(210, 110) +
  line('M196 158c-6-78 108-84 116 10', dark, 12) +
  line('M308 178c48 10 44 92-4 108', dark, 12) +
  path('M154 250L74 154l18-12 76 70z', base) +
  turned(-42, rect(42, 132, 58, 20, accent, 4), 70, 142) +
  rect(150, 162, 164, 156, base, 14) +
  veil('M162 170h22v140h-22z', 0.4) +
  oval(232, 164, 82, 14, dark) +
  line('M150 214h164M150 270h164', light, 4) +
  line('M50 178c-6 10-8 16-6 24M32 166c-6 10-8 16-6 24M60 200c-6 10-8 16-6 24', '#7fb2cf', 4);

export const seedBox: Motif = ({ light, base, dark }) =>
  shadow(200, 130) +
  line(
    'M118 200c0-30-6-50-24-62M118 178c10-8 18-20 18-36M200 200c0-40 2-70-2-98M200 160c-18-4-30-16-34-34M200 140c18-4 30-16 34-34M286 200c2-34 10-56 26-66M284 176c-12-8-18-20-18-36',
    LEAF,
    6,
  ) +
  [
    [92, 134],
    [138, 136],
    [162, 122],
    [238, 102],
    [198, 96],
    [314, 130],
    [264, 134],
  ]
    .map(([x = 0, y = 0]) => oval(x, y, 15, 11, LEAF))
    .join('') +
  path('M80 196h240l-8 20H88z', SOIL) +
  rect(68, 206, 264, 112, base, 6) +
  line('M68 244h264M68 282h264', dark, 3) +
  repeated(3, 80, 0, () => rect(92, 224, 56, 40, light, 3) + line('M102 238h36M102 250h22', dark, 3));

export const pots: Motif = ({ light, base, dark }) =>
  shadow(200, 150) +
  [
    [120, 318, 0.8],
    [284, 318, 0.8],
    [200, 318, 1.1],
  ]
    .map(
      ([x = 0, y = 0, size = 1]) =>
        `<g transform="translate(${x} ${y}) scale(${size})">` +
        path('M-56-112h112l-16 104c-1 6-6 8-12 8h-56c-6 0-11-2-12-8z', base) +
        veil('M-44-100h20l6 92h-10c-4 0-6-2-7-6z', 0.3) +
        rect(-64, -140, 128, 34, base, 6) +
        rect(-64, -114, 128, 8, dark) +
        oval(0, -138, 58, 8, SOIL) +
        line('M0-140v-28M0-160c-14-2-22-10-24-24M0-156c14-2 22-10 24-24', LEAF, 5) +
        rect(-50, -8, 100, 10, light, 5) +
        '</g>',
    )
    .join('');

export const twine: Motif = ({ light, base, dark, accent }) =>
  shadow(200, 92) +
  rect(110, 112, 180, 22, dark, 8) +
  rect(110, 296, 180, 22, dark, 8) +
  path('M128 134h144c22 40 22 122 0 162H128c-22-40-22-122 0-162z', base) +
  repeated(10, 0, 16, () => line('M122 144c50 14 106 14 156-4', light, 3)) +
  veil('M130 138c-16 44-16 114 0 156h24c-14-46-14-112 0-156z', 0.25) +
  line('M278 210c40 10 30 60 60 70 20 6 30-14 18-26', base, 6) +
  oval(200, 118, 26, 7, accent);

export const stakes: Motif = ({ light, base, dark }) =>
  shadow(200, 110) +
  [130, 158, 186, 214, 242, 270]
    .map((x, n) => {
      const lean = (n - 2.5) * 9;
      const shade = n % 2 ? base : light;
      return (
        line(`M${x + lean} 52L${200 + (x - 200) * 0.72} 316`, shade, 15) +
        [110, 176, 242]
          .map((y) => {
            const along = (y - 52) / 264;
            const at = (x + lean) * (1 - along) + (200 + (x - 200) * 0.72) * along;
            return line(`M${at - 8} ${y + n * 4}h16`, dark, 3);
          })
          .join('')
      );
    })
    .join('') +
  line('M122 214c50 16 106 16 158 0M124 224c50 16 104 16 154 0', '#b08a57', 6) +
  line('M150 150c-20-30-40-10-30 10 8 14 26 6 30-10zM150 150c6-24 30-26 34-10', LEAF, 5);

export const feeder: Motif = ({ light, base, dark, accent }) =>
  line('M200 30v46', dark, 4) +
  path('M200 64l124 82H76z', accent) +
  veil('M200 64L76 146h52l72-60z', 0.3) +
  rect(120, 146, 160, 122, light) +
  rect(120, 146, 18, 122, base) +
  rect(262, 146, 18, 122, base) +
  path('M138 230c20-22 40-8 62-20s42 0 62-8v66H138z', '#c9a24f') +
  rect(88, 262, 224, 22, dark, 6) +
  path('M288 222c-4-24 20-38 38-28l14-2-8 12c4 24-10 40-30 44-16 4-34 14-34 14 2-14 8-30 20-40z', '#6d7f8d') +
  oval(322, 206, 3, 3, '#222') +
  path('M292 236c10-10 26-14 36-10-6 12-18 20-32 22z', '#b5523b');

export const kneelingPad: Motif = ({ light, base, dark, accent }) =>
  shadow(200, 150, 292) +
  path('M58 198c0-22 14-34 40-34h204c26 0 40 12 40 34v58c0 24-14 36-40 36H98c-26 0-40-12-40-36z', dark) +
  path('M58 190c0-22 14-34 40-34h204c26 0 40 12 40 34v36c0 24-14 36-40 36H98c-26 0-40-12-40-36z', base) +
  line('M82 184h236v50H82z', light, 2) +
  line('M166 158c4-50 64-50 68 0', accent, 12) +
  veil('M72 180c4-12 14-16 28-16h120c-60 6-110 16-132 44-14 6-20-14-16-28z', 0.25);

export const rainGauge: Motif = ({ light, base, dark }) =>
  rect(192, 230, 16, 96, dark, 4) +
  path('M164 74h72v150c0 22-16 34-36 34s-36-12-36-34z', light) +
  path('M170 160h60v62c0 18-12 28-30 28s-30-10-30-28z', '#6aa7cc') +
  oval(200, 160, 30, 6, '#a5cfe6') +
  oval(200, 74, 38, 8, '#fff') +
  repeated(8, 0, 18, (n) => line(`M232 96h-${n % 2 ? 12 : 20}`, dark, 3)) +
  rect(152, 106, 96, 16, base, 6) +
  rect(152, 206, 96, 16, base, 6) +
  veil('M172 84h10v150c-8-4-10-10-10-16z', 0.6) +
  path(
    'M104 96c10 16 16 24 16 34a16 16 0 0 1-32 0c0-10 6-18 16-34zM304 128c10 16 16 24 16 34a16 16 0 0 1-32 0c0-10 6-18 16-34zM80 196c8 12 12 18 12 26a12 12 0 0 1-24 0c0-8 4-14 12-26z',
    '#8fbfdb',
  );

// A picture for each product of the catalogue, drawn by code: the same bytes on every machine, 2 KB each, sharp at any size.
//
// The list repeats the catalogue's ids on purpose: media asks no other service, and a product without a picture here simply
// has none. Tests: test/pictures.test.ts.

import * as bath from './bath.ts';
import * as desk from './desk.ts';
import * as garden from './garden.ts';
import * as room from './room.ts';
import { oval, rect, type Motif, type Palette } from './shapes.ts';
import * as table from './table.ts';

export interface Product {
  id: string;
  motif: Motif;
  colours: Palette;
}

const colours = (ground: string, light: string, base: string, dark: string, accent = '#c4552d'): Palette => ({
  ground,
  light,
  base,
  dark,
  accent,
});

const CELADON = colours('#e9efe6', '#cfdfd0', '#9dbaa5', '#6a8b78', '#3d6a8a');
const PORCELAIN = colours('#dfe5ea', '#f7f5ef', '#e4e2da', '#8d929c', '#35609a');
const BRASS = colours('#f3ead6', '#f0d595', '#cfa349', '#8d6a22', '#8a3b2a');
const CLAY = colours('#f1e3d6', '#b98a66', '#8b5a3c', '#5e3a26', '#c9762f');
const IRON = colours('#e7e5e1', '#6f7479', '#45494f', '#2b2e33', '#b1452f');
const WALNUT = colours('#f0e6da', '#b58a63', '#8c6240', '#5d3f28', '#4f7a54');
const LINEN = colours('#ece9e1', '#f4efe3', '#d9cfbb', '#a2957c', '#b5493b');
const WOOL = colours('#ece6e4', '#d5c3bd', '#b08f88', '#7b5c58', '#c2803f');
const INDIGO = colours('#e3e8ef', '#8fa5c6', '#3f5f93', '#263d66', '#d9c9a3');
const ASH = colours('#edebe2', '#ead9b8', '#cfb586', '#96794c', '#507a8b');
const PAPER = colours('#e8e3da', '#f6d999', '#b28a5a', '#6d5133', '#b8452f');
const SLATE = colours('#e6e9eb', '#9aa5ac', '#66737b', '#434d54', '#c49a3f');
const COPPER = colours('#f2e5dc', '#eaa983', '#c2714a', '#864527', '#4d6b5a');
const HEMP = colours('#eceadd', '#ddd4b4', '#b9ac7f', '#857a52', '#6f8f5d');
const FOREST = colours('#e5ece2', '#a9c49a', '#6f9463', '#47663f', '#c7a04a');
const ROSE = colours('#f4e6e4', '#f2c6bd', '#d9938a', '#9f5a55', '#6b8f71');

/** Every product that has a picture. */
export const PRODUCTS: Product[] = Object.entries<[Motif, Palette]>({
  p01: [table.teapot, CELADON],
  p02: [table.moonJar, PORCELAIN],
  p03: [table.cutlery, BRASS],
  p04: [table.crock, CLAY],
  p05: [table.bowlWithLid, PORCELAIN],
  p06: [table.ricePot, IRON],
  p07: [table.cup, CLAY],
  p08: [table.tray, WALNUT],
  p09: [table.knife, WALNUT],
  p10: [table.cloths, LINEN],
  p11: [room.cushion, WOOL],
  p12: [room.mattress, LINEN],
  p13: [room.floorLamp, PAPER],
  p14: [room.bedsideLamp, { ...ASH, light: '#fbe7b5', ground: '#e6e3db' }],
  p15: [room.screen, { ...PAPER, light: '#f2ead9' }],
  p16: [room.stool, ASH],
  p17: [room.lowTable, WALNUT],
  p18: [room.blanket, INDIGO],
  p19: [room.pillow, HEMP],
  p20: [room.waterBottle, { ...COPPER, light: '#f3d9c8' }],
  p21: [desk.notebook, INDIGO],
  p22: [desk.inkStick, { ...BRASS, accent: '#cfa349' }],
  p23: [desk.inkStone, SLATE],
  p24: [desk.brush, WALNUT],
  p25: [desk.pen, { ...HEMP, accent: '#b9bec2' }],
  p26: [desk.inkBottle, { ...SLATE, base: '#a9bccb', light: '#f3ecdb' }],
  p27: [desk.pencils, { ...COPPER, base: '#c9683f', accent: '#3f6e80', light: '#e8b54d' }],
  p28: [desk.deskPad, { ...SLATE, ground: '#efeae2', base: '#8c959b', dark: '#6c757b' }],
  p29: [desk.cards, { ...FOREST, light: '#efe6d6', dark: '#6a4a33', accent: '#e0762e' }],
  p30: [desk.ruler, BRASS],
  p31: [bath.soap, FOREST],
  p32: [bath.bathStool, { ...ASH, ground: '#e4ece8' }],
  p33: [bath.washCloth, HEMP],
  p34: [bath.towel, { ...CELADON, base: '#b7ccd6', light: '#dde8ec', dark: '#7e9aa8' }],
  p35: [bath.comb, { ...WALNUT, base: '#a9794c', dark: '#6b4729', light: '#d6ab7b' }],
  p36: [bath.shavingBrush, { ...WALNUT, ground: '#e6e9e4', base: '#b07a4f' }],
  p37: [bath.oilBottle, { ...ROSE, base: '#e9d7a8', dark: '#6b4b3a', light: '#fbf3e0', accent: '#c98f3a' }],
  p38: [bath.pumice, { ...SLATE, base: '#b4b7b6', dark: '#85898a', light: '#cfdfe6' }],
  p39: [bath.basin, { ...PORCELAIN, base: '#9cc4d6', light: '#c4dfe9', accent: '#2f5fa0' }],
  p40: [bath.saltJar, { ...FOREST, base: '#c8ddd6', dark: '#5f7f6d', light: '#f1ecd9', accent: '#6f9463' }],
  p41: [garden.hoe, ASH],
  p42: [garden.shears, { ...ASH, ground: '#e5ece2' }],
  p43: [garden.wateringCan, { ...SLATE, base: '#a7b3b8', dark: '#6d7a80', light: '#d5dde0' }],
  p44: [garden.seedBox, { ...ASH, ground: '#e9efe0', light: '#fbf3dd' }],
  p45: [garden.pots, { ...COPPER, base: '#c9764c', dark: '#a2572f', light: '#b5623a' }],
  p46: [garden.twine, { ...HEMP, base: '#c3a56b', dark: '#8c6f3f', light: '#dcc28c' }],
  p47: [garden.stakes, { ...FOREST, base: '#b7b262', light: '#cdc77f', dark: '#87823c' }],
  p48: [garden.feeder, { ...ASH, ground: '#dfe9ee', accent: '#b96a42' }],
  p49: [
    garden.kneelingPad,
    { ...FOREST, base: '#7c8f5e', dark: '#c0945c', light: '#a9b98a', accent: '#5d6f43' },
  ],
  p50: [garden.rainGauge, { ...COPPER, ground: '#e1eaf0', light: '#f2f8fb' }],
}).map(([id, [motif, palette]]) => ({ id, motif, colours: palette }));

/** The picture as SVG. */
export function draw({ motif, colours: palette }: Product): string {
  const back = rect(0, 0, 400, 400, palette.ground) + oval(200, 196, 168, 168, '#ffffff66');
  const inner = `${back}${motif(palette)}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 400" width="400" height="400">${inner}</svg>\n`;
}

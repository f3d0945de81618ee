// The basket: products and how many of each. It is kept in the visitor's own cookie, so its text is believed in nothing.
//
// Invariants
// - No product twice, at most LINES of them, each quantity a whole number from 1 to PIECES: what an order may hold.
// - Reading never fails: what does not fit is left out.

/** Products in one basket; each is looked up when the basket is shown. */
export const LINES = 20;
/** Pieces of one product in an order, as the orders service allows. */
export const PIECES = 1000;

export interface Line {
  id: string;
  quantity: number;
}

export type Basket = readonly Line[];

/** A quantity as a form sends it; null for what is none. */
export function parseQuantity(text: string): number | null {
  const quantity = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  return quantity >= 1 && quantity <= PIECES ? quantity : null;
}

/** One line, as `p01*2`; null for what is none. */
export function parseLine(text: string): Line | null {
  const [, id, count] = /^([A-Za-z0-9_-]{1,64})\*(\d{1,4})$/.exec(text) ?? [];
  const quantity = parseQuantity(count ?? '');
  return id === undefined || quantity === null ? null : { id, quantity };
}

export function writeLine(line: Line): string {
  return `${line.id}*${line.quantity}`;
}

export function parseBasket(text: string): Basket {
  const lines = text.split(' ', LINES).map(parseLine);
  return lines.reduce<Basket>((basket, line) => (line ? put(basket, line) : basket), []);
}

export function writeBasket(basket: Basket): string {
  return basket.map(writeLine).join(' ');
}

/** With this quantity of the product, whatever it was before. A basket that is full stays as it is. */
export function put(basket: Basket, line: Line): Basket {
  if (basket.some(({ id }) => id === line.id)) {
    return basket.map((old) => (old.id === line.id ? line : old));
  }
  return basket.length < LINES ? [...basket, line] : basket;
}

/** With so many more of the product, up to PIECES. */
export function add(basket: Basket, { id, quantity }: Line): Basket {
  const had = basket.find((line) => line.id === id)?.quantity ?? 0;
  return put(basket, { id, quantity: Math.min(PIECES, had + quantity) });
}

export function remove(basket: Basket, id: string): Basket {
  return basket.filter((line) => line.id !== id);
}

export function pieces(basket: Basket): number {
  return basket.reduce((sum, { quantity }) => sum + quantity, 0);
}

import { describe, expect, it } from 'vitest';
import { add, LINES, parseBasket, parseQuantity, PIECES, pieces, put, remove, writeBasket } from './basket';

const basket = parseBasket('p01*2 p02*1');

describe('a basket', () => {
  it('is read as it was written', () => {
    expect(parseBasket(writeBasket(basket))).toEqual(basket);
  });

  it.each(['', '*', 'p01', 'p01*0', 'p01*1001', 'p01*-1', 'p01*1.5', 'p/1*1', '../x*1', 'p01*1e3'])(
    'leaves out %j',
    (text) => {
      expect(parseBasket(text)).toEqual([]);
    },
  );

  it('keeps the last quantity of a product named twice', () => {
    expect(parseBasket('p01*2 p01*5')).toEqual([{ id: 'p01', quantity: 5 }]);
  });

  it('adds to what is there, up to the most an order may hold', () => {
    expect(add(basket, { id: 'p01', quantity: 3 })[0]).toEqual({ id: 'p01', quantity: 5 });
    expect(add(basket, { id: 'p01', quantity: PIECES })[0]).toEqual({ id: 'p01', quantity: PIECES });
  });

  it('takes no product more when it is full, but changes those it has', () => {
    const full = parseBasket(Array.from({ length: LINES + 5 }, (_, n) => `p${n}*1`).join(' '));
    expect(full).toHaveLength(LINES);
    expect(add(full, { id: 'new', quantity: 1 })).toEqual(full);
    expect(put(full, { id: 'p3', quantity: 9 })[3]).toEqual({ id: 'p3', quantity: 9 });
  });

  it('forgets a product and counts its pieces', () => {
    expect(pieces(basket)).toBe(3);
    expect(pieces(remove(basket, 'p01'))).toBe(1);
  });
});

describe('parseQuantity', () => {
  it.each([
    ['1', 1],
    ['1000', 1000],
    ['0', null],
    ['1001', null],
    ['2.0', null],
    ['', null],
  ])('reads %j as %j', (text, quantity) => {
    expect(parseQuantity(text)).toBe(quantity);
  });
});

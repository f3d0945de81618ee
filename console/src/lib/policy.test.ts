import { describe, expect, it } from 'vitest';
import { goesTo } from './policy';
import type { Route } from './types';

const route = (forward: [string, number][] | undefined, mirrors: [string, number][] = []) =>
  ({
    service: 'tea',
    action: { forward: forward?.map(([service, weight]) => ({ service, weight })) },
    mirrors: mirrors.map(([service, share]) => ({ service, share })),
  }) as Route;

describe('where a route goes', () => {
  it('is said only where that is not its own service', () => {
    expect(goesTo(route([['tea', 7]]))).toEqual({ shares: '', copies: '' });
    expect(goesTo(route(undefined))).toEqual({ shares: '', copies: '' });
    expect(goesTo(route([['next', 1]])).shares).toBe('next 100 %');
  });

  it('is shares of the weights, none of nothing', () => {
    expect(
      goesTo(
        route([
          ['tea', 2],
          ['next', 1],
        ]),
      ).shares,
    ).toBe('tea 66.7 % · next 33.3 %');
    expect(goesTo(route([['tea', 0]], [['next', 0.1]]))).toEqual({ shares: '', copies: 'next 10 %' });
  });
});

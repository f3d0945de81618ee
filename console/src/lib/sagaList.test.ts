import { expect, it } from 'vitest';
import { update, type SagaFilter } from './sagaList';
import type { Saga } from './types';

const saga = (id: string, state: Saga['state'] = 'running', step = ''): Saga => {
  return { id, saga: 'place-order', state, step, updated_at: 0 };
};
const any: SagaFilter = { state: '', saga: '', step: '', service: '', text: '' };
const ids = (list: Saga[]) => list.map(({ id }) => id).join('');

it('known sagas change in place, new ones wait apart, in order', () => {
  const { rows, newer } = update(
    { rows: [saga('c'), saga('b')], newer: [saga('d')] },
    [saga('e'), saga('b', 'done'), saga('g'), saga('f')],
    any,
  );
  expect([ids(rows), ids(newer)]).toEqual(['cb', 'gfed']);
  expect(rows[1]?.state).toBe('done');
});

it('what passes the filter no more goes, and what never did does not come', () => {
  const filter = { ...any, state: 'stuck' };
  const { rows, newer } = update(
    { rows: [saga('b', 'stuck')], newer: [] },
    [saga('b', 'done'), saga('c', 'running'), saga('d', 'stuck')],
    filter,
  );
  expect([ids(rows), ids(newer)]).toEqual(['', 'd']);
});

it('where only the controller can judge, nothing new is taken', () => {
  const { rows, newer } = update({ rows: [saga('b')], newer: [] }, [saga('c')], { ...any, text: 'teapot' });
  expect([ids(rows), ids(newer)]).toEqual(['b', '']);
});

it('without news of its own a list stays the same one', () => {
  const rows = [saga('b')];
  expect(update({ rows, newer: [] }, [saga('a')], any).rows).toBe(rows);
});

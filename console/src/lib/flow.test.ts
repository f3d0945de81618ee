import { expect, it } from 'vitest';
import { place } from './flow';
import type { Flow, FlowNode } from './types';

const node = (id: string, at: number): FlowNode => {
  return { id, at, kind: 'event', label: id, service: null, ended: null, state: '', link: null };
};
const flow = (ids: string[], edges: [string, string][]): Flow => ({
  correlation: 'c',
  nodes: ids.map(node),
  edges: edges.map(([from, to]) => ({ from, to, kind: 'caused' })),
  truncated: false,
});

it('effects are right of all their causes, and no two share a place', () => {
  const drawn = place(
    flow(
      ['a', 'b', 'c', 'd', 'e'],
      [
        ['a', 'b'],
        ['a', 'c'],
        ['b', 'd'],
        ['a', 'd'],
        ['c', 'e'],
      ],
    ),
  );
  for (const { from, to } of drawn.edges) expect(to.column).toBeGreaterThan(from.column);
  expect(new Set(drawn.nodes.map(({ column, row }) => `${column} ${row}`)).size).toBe(5);
  expect([drawn.columns, drawn.rows]).toEqual([3, 2]);
});

it('a circle, an edge to nowhere and nothing at all are drawn too', () => {
  expect(
    place(
      flow(
        ['a', 'b'],
        [
          ['a', 'b'],
          ['b', 'a'],
          ['a', 'x'],
          ['a', 'a'],
        ],
      ),
    ).nodes,
  ).toHaveLength(2);
  expect(place(flow([], [])).nodes).toEqual([]);
});

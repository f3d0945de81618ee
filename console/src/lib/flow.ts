// Places the graph of one correlation: causes left, effects right, each row in order of time. Pure and deterministic.

import { millis } from './format';
import type { Flow, FlowNode } from './types';

/** What has no time, or none that can be read, stands after what has one. */
export function timeOf({ at }: FlowNode): number {
  const ms = at === null ? NaN : millis(at);
  return Number.isNaN(ms) ? Infinity : ms;
}

/** Earlier first; of the same time in any order, but always the same. */
export function inOrder(one: FlowNode, two: FlowNode): number {
  const [a, b] = [timeOf(one), timeOf(two)];
  return a === b ? (one.id < two.id ? -1 : 1) : a - b;
}

export interface Placed extends FlowNode {
  column: number;
  row: number;
}

export interface Drawn {
  nodes: Placed[];
  edges: { from: Placed; to: Placed; kind: string }[];
  columns: number;
  rows: number;
}

/** A node's column is the longest way to it; edges that would close a circle are left out of the counting. */
export function place(flow: Flow): Drawn {
  const byId = new Map(flow.nodes.map((node) => [node.id, node]));
  const edges = flow.edges.filter(
    (edge) => byId.has(edge.from) && byId.has(edge.to) && edge.from !== edge.to,
  );
  const into = new Map<string, Flow['edges']>();
  for (const edge of edges) into.set(edge.to, [...(into.get(edge.to) ?? []), edge]);
  const columns = new Map<string, number>();
  const depth = (id: string, path: Set<string>): number => {
    const known = columns.get(id);
    if (known !== undefined) return known;
    if (path.has(id)) return -1;
    path.add(id);
    const before = (into.get(id) ?? []).map((edge) => depth(edge.from, path));
    path.delete(id);
    const column = Math.max(-1, ...before) + 1;
    columns.set(id, column);
    return column;
  };
  const order = flow.nodes.toSorted(inOrder);
  order.forEach((node) => depth(node.id, new Set()));
  const rows = new Map<number, number>();
  const placed = new Map<string, Placed>();
  // A node goes beside its cause where that row is free, else below what is there.
  for (const node of order.toSorted((one, two) => (columns.get(one.id) ?? 0) - (columns.get(two.id) ?? 0))) {
    const column = columns.get(node.id) ?? 0;
    const causes = (into.get(node.id) ?? []).map((edge) => placed.get(edge.from)?.row ?? 0);
    const row = Math.max(rows.get(column) ?? 0, causes.length > 0 ? Math.min(...causes) : 0);
    rows.set(column, row + 1);
    placed.set(node.id, { ...node, column, row });
  }
  const at = (id: string) => placed.get(id) as Placed;
  return {
    nodes: [...placed.values()],
    edges: edges.map((edge) => ({ from: at(edge.from), to: at(edge.to), kind: edge.kind })),
    columns: Math.max(0, ...columns.values()) + 1,
    rows: Math.max(1, ...rows.values()),
  };
}

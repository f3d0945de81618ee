// The list of sagas under live updates. Pure: each function gives a new list.

import type { Saga } from './types';

export interface SagaFilter {
  state: string;
  saga: string;
  step: string;
  service: string;
  text: string;
}

/** Whether a saga passes what can be told from its summary. */
export function passes(saga: Saga, { state, saga: definition, step }: SagaFilter): boolean {
  return (
    (state === '' || saga.state === state) &&
    (definition === '' || saga.saga === definition) &&
    (step === '' || saga.step === step)
  );
}

export interface Updated {
  rows: Saga[];
  /** Newer ones that are not in the list yet. */
  newer: Saga[];
}

/**
 * Takes news into the list, newest first: known sagas change in place, or go when they pass the filter no more; new ones
 * are given apart, since they push down what somebody is reading. With a filter that only the controller can judge, new
 * ones are left out.
 */
export function update({ rows, newer }: Updated, news: Saga[], filter: SagaFilter): Updated {
  const byId = new Map(news.map((saga) => [saga.id, saga]));
  const first = rows[0]?.id ?? '';
  const judged = filter.service !== '' || filter.text !== '';
  const change = (list: Saga[]) => {
    if (!list.some(({ id }) => byId.has(id))) return list;
    return list.map((saga) => byId.get(saga.id) ?? saga).filter((saga) => passes(saga, filter));
  };
  const known = new Set([...rows, ...newer].map(({ id }) => id));
  const fresh = judged
    ? []
    : news.filter((saga) => !known.has(saga.id) && saga.id > first && passes(saga, filter));
  const merged = [...change(newer), ...fresh];
  // Ids rise with time.
  return {
    rows: change(rows),
    newer: fresh.length > 0 ? merged.sort((one, two) => (one.id < two.id ? 1 : -1)) : merged,
  };
}

// A subscription's settings in the words of its manifest. Pure.

import { span } from './format';
import type { Members } from './types';

/** What a page shows elsewhere. */
const ELSEWHERE = ['name', 'types'];

/** Names and values, one line each; what is not set is left out. */
export function settingsOf(settings: Members, prefix = ''): [string, string][] {
  return Object.entries(settings).flatMap(([name, value]): [string, string][] => {
    const key = prefix + name;
    if (value === null || ELSEWHERE.includes(key) || (Array.isArray(value) && value.length === 0)) return [];
    if (typeof value !== 'object') return [[key, String(value)]];
    if (Array.isArray(value)) return [[key, value.join(', ')]];
    const members = value as Members;
    // A duration, as Rust writes it.
    if (typeof members['secs'] === 'number' && typeof members['nanos'] === 'number') {
      return [[key, span(members['secs'] * 1000 + members['nanos'] / 1e6)]];
    }
    return settingsOf(members, `${key}.`);
  });
}

import { expect, it } from 'vitest';
import { settingsOf } from './subscription';

it('settings are told by the names and in the units of the manifest', () => {
  const settings = {
    name: 'points.orders',
    types: ['order.*'],
    parallel: 16,
    timeout: { secs: 10, nanos: 0 },
    retry: { attempts: 8, first: { secs: 0, nanos: 200_000_000 }, cap: { secs: 30, nanos: 0 } },
    sources: [],
    extensions: { region: 'eu' },
    push: null,
  };
  expect(settingsOf(settings)).toEqual([
    ['parallel', '16'],
    ['timeout', '10 s'],
    ['retry.attempts', '8'],
    ['retry.first', '200 ms'],
    ['retry.cap', '30 s'],
    ['extensions.region', 'eu'],
  ]);
});

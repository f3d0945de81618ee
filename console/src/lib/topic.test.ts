import { expect, it } from 'vitest';
import { Topic } from './topic';

it('a snapshot and its deltas give the state; repeats are skipped and gaps are seen', () => {
  const topic = new Topic<number>();
  expect(topic.take({ n: 4, put: { a: 1 } })).toBe('gap');
  expect(topic.take({ n: 4, snapshot: true, put: { a: 1, b: 2 } })).toBe('taken');
  const before = topic.state;
  expect(topic.take({ n: 4, put: { a: 9 } })).toBe('known');
  expect(topic.take({ n: 5, put: { c: 3 }, gone: ['a'] })).toBe('taken');
  expect(topic.state).toEqual({ b: 2, c: 3 });
  expect(before, 'never changed in place').toEqual({ a: 1, b: 2 });
  expect(topic.take({ n: 7, put: { d: 4 } })).toBe('gap');
  expect(topic.take({ n: 7, snapshot: true })).toBe('taken');
  expect(topic.state).toEqual({});
});

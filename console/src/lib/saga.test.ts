import { describe, expect, it } from 'vitest';
import { axis, candidates, lanes } from './saga';
import type { Moment, SagaView, Step } from './types';

function step(name: string, more: Partial<Step> = {}): Step {
  const still = {
    stage: 0,
    action: 'idle',
    compensate: 'idle',
    attempts: 0,
    compensate_attempts: 0,
  } as const;
  return {
    name,
    kind: 'compensable',
    service: 's',
    call: 'PUT s/x',
    in_doubt: false,
    output: {},
    ...still,
    ...more,
  };
}

function view(steps: Step[], history: unknown[], state: SagaView['state'] = 'running'): SagaView {
  const saga = {
    id: 'i',
    saga: 's',
    state,
    step: '',
    updated_at: 0,
    started_at: 0,
    deadline: 0,
    definition: '',
  };
  const moments = history.map((moment, position) => ({ position, ...(moment as object) }) as Moment);
  return { ...saga, correlation: '', input: {}, steps, history: moments };
}

describe('lanes', () => {
  it('hold every attempt with its answer, and polls lengthen it', () => {
    const [pay, ship] = lanes(
      view(
        [step('pay'), step('ship')],
        [
          { e: 'started', definition: 'd', at: 0 },
          { e: 'sent', step: 'pay', op: 'action', n: 1, at: 1 },
          { e: 'answered', step: 'pay', op: 'action', n: 1, outcome: 'unknown', why: 'reset', at: 2 },
          { e: 'sent', step: 'pay', op: 'action', n: 2, at: 5 },
          { e: 'answered', step: 'pay', op: 'action', n: 2, outcome: 'running', at: 6 },
          { e: 'answered', step: 'pay', op: 'action', n: 2, outcome: 'done', at: 9 },
          { e: 'sent', step: 'ship', op: 'action', n: 1, at: 9 },
        ],
      ),
    );
    expect(pay?.attempts.map(({ n, from, to, outcome, why }) => [n, from, to, outcome, why])).toEqual([
      [1, 1, 2, 'unknown', 'reset'],
      [2, 5, 9, 'done', undefined],
    ]);
    expect(ship?.attempts).toMatchObject([{ to: null, outcome: 'sent' }]);
  });
});

describe('the axis', () => {
  it('is true to time where nothing is idle for long', () => {
    const { place, gaps } = axis(0, 100, [{ from: 0, to: 50 }]);
    expect(gaps).toEqual([]);
    expect([place(0), place(50), place(100)]).toEqual([0, 0.5, 1]);
  });

  it('draws an idle night short, between what happened before and after', () => {
    const night = 8 * 3_600_000;
    const { place, gaps, ticks } = axis(0, night + 200, [
      { from: 0, to: 100 },
      { from: night + 100, to: night + 200 },
    ]);
    expect(gaps).toHaveLength(1);
    expect(gaps[0]?.ms).toBe(night);
    expect(place(100)).toBeGreaterThan(0.4);
    expect(place(night + 100) - place(100)).toBeLessThan(0.15);
    expect(place(night + 200)).toBe(1);
    expect(ticks.length).toBeLessThan(12);
  });

  it('never goes back, whatever it is asked', () => {
    const { place } = axis(10, 5000, [
      { from: 20, to: 30 },
      { from: 25, to: 40 },
      { from: 4000, to: 4000 },
    ]);
    const places = Array.from({ length: 500 }, (_, n) => place(n * 10));
    expect(places.every((one, n) => n === 0 || one >= (places[n - 1] ?? 0))).toBe(true);
    expect(Math.max(...places)).toBeLessThanOrEqual(1);
  });
});

it('an action can mean what is neither over nor in the air, backwards on the way back', () => {
  const steps = [
    step('a', { action: 'done', compensate: 'held' }),
    step('b', { action: 'failed' }),
    step('c'),
  ];
  expect(candidates(view(steps, [], 'parked'))).toEqual(['b', 'c']);
  expect(candidates(view(steps, [], 'stuck'))).toEqual(['a']);
});

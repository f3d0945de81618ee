// What a state means, whatever it is the state of: one of five tones, each with a shape of its own.

export type Tone = 'good' | 'busy' | 'warn' | 'bad' | 'still' | 'undo';

const TONES: Record<string, Tone> = {
  ready: 'good',
  done: 'good',
  running: 'good',
  pass: 'good',
  delivered: 'good',
  published: 'good',
  appended: 'good',
  pending: 'busy',
  'in-flight': 'busy',
  relayed: 'good',
  building: 'busy',
  starting: 'busy',
  replacing: 'busy',
  waiting: 'busy',
  sent: 'busy',
  polling: 'busy',
  due: 'busy',
  retrying: 'busy',
  delayed: 'busy',
  degraded: 'warn',
  'backing-off': 'warn',
  paused: 'warn',
  full: 'warn',
  unknown: 'warn',
  stopping: 'warn',
  failing: 'bad',
  'build-failed': 'bad',
  'crash-loop': 'bad',
  failed: 'bad',
  parked: 'bad',
  stuck: 'bad',
  held: 'bad',
  misconfigured: 'bad',
  fail: 'bad',
  error: 'bad',
  compensating: 'undo',
  'paused-compensating': 'undo',
};

export function toneOf(state: string): Tone {
  return TONES[state] ?? 'still';
}

/** Of a saga: on its way is no cause for joy yet. */
export function sagaTone(state: string): Tone {
  if (state === 'running') return 'busy';
  if (state === 'aborted') return 'still';
  return toneOf(state);
}

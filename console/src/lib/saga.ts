// The timeline of one saga, from its history. Pure.
//
// Each step has a lane; in it every attempt of its call and of its undoing is a bar from being sent to its answer. Times
// in which nothing was in the air are drawn short, so that a night of waiting does not hide three calls of a millisecond.

import type { Op, SagaView, Step } from './types';

export interface Attempt {
  step: string;
  op: Op;
  n: number;
  from: number;
  /** `null`: in the air, or nobody knows. */
  to: number | null;
  /** As the history says: `done`, `failed`, `unknown` …; `running` while it is asked for; `sent` without an answer. */
  outcome: string;
  why?: string;
}

export interface Lane {
  step: Step;
  attempts: Attempt[];
}

/** Every attempt, by step, in the order of the definition. */
export function lanes(view: SagaView): Lane[] {
  const open = new Map<string, Attempt>();
  const byStep = new Map<string, Attempt[]>(view.steps.map((step) => [step.name, []]));
  for (const moment of view.history) {
    if (moment.e === 'sent') {
      const { step, op, n, at } = moment;
      const attempt: Attempt = { step, op, n, from: at, to: null, outcome: 'sent' };
      open.set(`${step} ${op}`, attempt);
      byStep.get(step)?.push(attempt);
    } else if (moment.e === 'answered') {
      const attempt = open.get(`${moment.step} ${moment.op}`);
      if (attempt === undefined || attempt.n !== moment.n) continue;
      attempt.outcome = moment.outcome;
      if (moment.why !== undefined) attempt.why = moment.why;
      // A service that is at work is asked again: the attempt goes on.
      if (moment.outcome !== 'running') attempt.to = moment.at;
    }
  }
  return view.steps.map((step) => ({ step, attempts: byStep.get(step.name) ?? [] }));
}

/** How an outcome is drawn. */
export function tone(outcome: string): 'good' | 'bad' | 'doubt' | 'busy' {
  if (outcome === 'done') return 'good';
  if (outcome === 'failed') return 'bad';
  if (outcome === 'sent' || outcome === 'running') return 'busy';
  return 'doubt';
}

export interface Gap {
  /** Places on the axis, 0 to 1. */
  from: number;
  to: number;
  /** How long it really was. */
  ms: number;
}

export interface Axis {
  /** The place of a time, 0 to 1. */
  place: (at: number) => number;
  gaps: Gap[];
  ticks: { at: number; place: number }[];
}

/** Idle times longer than this share of the busy ones, and than a second, are drawn as long as this share. */
const IDLE_SHARE = 0.12;

/** An axis over `from` to `to` on which the idle times between `busy` spans are short. */
export function axis(from: number, to: number, busy: { from: number; to: number }[]): Axis {
  const spans = merged(busy, from, to);
  const busyMs = Math.max(
    1,
    spans.reduce((sum, span) => sum + span.to - span.from, 0),
  );
  const short = Math.max(1, busyMs * IDLE_SHARE);
  const limit = Math.max(1000, short);
  const pieces: { from: number; to: number; size: number; idle: boolean }[] = [];
  let last = from;
  for (const span of [...spans, { from: to, to }]) {
    const idle = span.from - last;
    if (idle > 0)
      pieces.push({ from: last, to: span.from, size: idle > limit ? short : idle, idle: idle > limit });
    if (span.to > span.from) pieces.push({ ...span, size: span.to - span.from, idle: false });
    last = Math.max(last, span.to);
  }
  const total = Math.max(
    1,
    pieces.reduce((sum, piece) => sum + piece.size, 0),
  );
  const gaps: Gap[] = [];
  let sum = 0;
  const starts = pieces.map((piece) => {
    const start = sum / total;
    sum += piece.size;
    if (piece.idle) gaps.push({ from: start, to: sum / total, ms: piece.to - piece.from });
    return start;
  });
  const place = (at: number) => {
    const index = pieces.findLastIndex((piece) => piece.from <= at);
    const piece = pieces[index];
    if (piece === undefined) return 0;
    const within = Math.min(1, (at - piece.from) / Math.max(1, piece.to - piece.from));
    return Math.min(1, (starts[index] ?? 0) + (within * piece.size) / total);
  };
  return { place, gaps, ticks: ticks(pieces, place) };
}

function merged(busy: { from: number; to: number }[], from: number, to: number) {
  const sorted = busy.map((span) => ({ from: Math.max(from, span.from), to: Math.min(to, span.to) }));
  sorted.sort((one, two) => one.from - two.from);
  const out: { from: number; to: number }[] = [];
  for (const span of sorted) {
    const last = out.at(-1);
    if (last !== undefined && span.from <= last.to) last.to = Math.max(last.to, span.to);
    else out.push({ ...span });
  }
  return out;
}

/** Round times, at least a tenth of the axis apart, outside what is drawn short. */
function ticks(pieces: { from: number; to: number; idle: boolean }[], place: (at: number) => number) {
  const from = pieces[0]?.from ?? 0;
  const to = pieces.at(-1)?.to ?? 0;
  const drawn = pieces.filter((piece) => !piece.idle).reduce((sum, piece) => sum + piece.to - piece.from, 0);
  const step = round(Math.max(1, drawn / 6));
  const out = [{ at: from, place: 0 }];
  for (let at = from + step, n = 0; at < to && n < 10_000; n += 1) {
    const idle = pieces.find((piece) => piece.idle && piece.from < at && at < piece.to);
    if (idle !== undefined) {
      at += Math.max(1, Math.ceil((idle.to - at) / step)) * step;
      continue;
    }
    if (place(at) - (out.at(-1)?.place ?? 0) > 0.1 && place(at) < 0.96) out.push({ at, place: place(at) });
    at += step;
  }
  return out;
}

function round(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const digit = [1, 2, 5, 10].find((one) => one * power >= value) ?? 10;
  return digit * power;
}

/** What an operator may ask for in a state; the controller has the last word. */
export function actions(state: string): string[] {
  switch (state) {
    case 'running':
      return ['pause', 'cancel', 'retry', 'skip', 'force-complete', 'set-result', 'force-compensate'];
    case 'parked':
      return ['retry', 'set-result', 'force-complete', 'skip', 'force-compensate', 'cancel'];
    case 'paused':
      return ['resume', 'cancel', 'skip', 'force-complete', 'set-result', 'force-compensate'];
    case 'compensating':
      return ['pause', 'retry', 'skip', 'force-compensate'];
    case 'stuck':
      return ['retry', 'skip', 'force-compensate'];
    case 'paused-compensating':
      return ['resume', 'skip', 'force-compensate'];
    default:
      return [];
  }
}

/** Actions that need a reason, and those that name a step. */
export const REASONED = new Set(['skip', 'set-result', 'force-complete', 'force-compensate']);
export const ON_STEP = new Set(['retry', 'skip', 'set-result', 'force-complete', 'force-compensate']);

/** Steps that an action can mean: those whose call is neither over nor in the air. */
export function candidates(view: SagaView): string[] {
  const back = ['compensating', 'stuck', 'paused-compensating'].includes(view.state);
  const open = (step: Step) => {
    const status = back ? step.compensate : step.action;
    return !['done', 'waived'].includes(status) && !(back && status === 'idle');
  };
  const names = view.steps.filter(open).map((step) => step.name);
  return back ? names.reverse() : names;
}

// The one stream of this tab: what the pages show comes from here, and whether it can be believed.
//
// It follows what the page asks for, comes back by itself where it broke off, and rests while the tab is hidden. While
// the controller is away everything stays as it was told last, and `connection` says so.

import { untrack } from 'svelte';
import { Problem, forget, problem } from './api';
import { LogStore } from './logs';
import { SseReader, type Message } from './sse';
import { Topic } from './topic';
import type { Change, Frame, LogLine, Outbox, Service, Subscription, System, Traffic } from './types';

export type Connection = 'connecting' | 'open' | 'lost' | 'signed-out';

/** Followed on every page. */
const ALWAYS = ['system', 'services', 'traffic', 'sagas', 'subscriptions', 'outboxes', 'changes'];
/** Between two tries, milliseconds; a little at random, so that many tabs do not come back at once. */
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 4000;
/** The controller says something each 15 s. */
const SILENCE = 25_000;
/** A hidden tab lets go of its stream after this. */
const REST = 60_000;
const MAX_CHANGES = 200;

export interface Wanted {
  /** Beside those of every page. */
  topics?: string[];
  /** A source of log lines. */
  logs?: string | undefined;
}

class Live {
  connection = $state<Connection>('connecting');
  /** Since when it is lost. */
  lostAt = $state(0);
  /** Rises when what was missed is not known: what was read before must be read anew. */
  epoch = $state(0);

  system = $state.raw<Partial<System>>({});
  services = $state.raw<Service[]>([]);
  traffic = $state.raw<Record<string, Traffic>>({});
  sagas = $state.raw<Record<string, number>>({});
  changes = $state.raw<Change[]>([]);
  /** `null` before their first snapshot. */
  subscriptions = $state.raw<Subscription[] | null>(null);
  outboxes = $state.raw<Outbox[] | null>(null);
  /** The first snapshot has come. */
  known = $state(false);

  readonly logs = new LogStore();
  /** Rises with every batch of lines. */
  logTurn = $state(0);

  #topics = new Map<string, Topic>();
  #heard = new Map<string, Set<(frame: Frame) => void>>();
  #wanted: Wanted = {};
  #abort: AbortController | null = null;
  #lastId = '';
  #pause = FIRST_PAUSE;
  #rest: ReturnType<typeof setTimeout> | undefined;
  #source = '';

  start() {
    document.addEventListener('visibilitychange', () => this.#visible());
    this.#open();
  }

  /** What the page in view needs. */
  want(wanted: Wanted) {
    const same = (one: Wanted, two: Wanted) =>
      (one.topics ?? []).join() === (two.topics ?? []).join() && one.logs === two.logs;
    if (same(wanted, this.#wanted)) return;
    this.#wanted = wanted;
    if (wanted.logs !== undefined && wanted.logs !== this.#source) {
      this.#source = wanted.logs;
      this.logs.clear();
      this.logTurn += 1;
    }
    this.#lastId = '';
    this.#open();
  }

  /** Calls back with every frame of a topic, first with what is known of it; gives the way to end that. */
  hear(topic: string, callback: (frame: Frame) => void): () => void {
    const all = this.#heard.get(topic) ?? new Set();
    this.#heard.set(topic, all.add(callback));
    const known = this.#topics.get(topic);
    if (known) untrack(() => callback({ n: 0, snapshot: true, put: known.state }));
    return () => all.delete(callback);
  }

  #visible() {
    clearTimeout(this.#rest);
    if (document.hidden) {
      this.#rest = setTimeout(() => this.#abort?.abort(), REST);
    } else if (this.#abort?.signal.aborted) {
      this.#open();
    }
  }

  #open() {
    if (this.connection === 'signed-out') return;
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    void this.#run(abort);
  }

  async #run(abort: AbortController) {
    while (!abort.signal.aborted) {
      try {
        await this.#follow(abort.signal);
        // It was cut: at once again, to a snapshot.
        this.#lastId = '';
      } catch (error) {
        if (abort.signal.aborted) return;
        if (error instanceof Problem && error.status === 401) {
          forget();
          this.connection = 'signed-out';
          return;
        }
        this.#lost();
      }
      const pause = this.#pause * (0.5 + Math.random());
      this.#pause = Math.min(LONGEST_PAUSE, this.#pause * 2);
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  #lost() {
    if (this.connection === 'lost') return;
    this.connection = 'lost';
    this.lostAt = Date.now();
  }

  /** One connection to its end; throws when it breaks. */
  async #follow(signal: AbortSignal) {
    const topics = [...ALWAYS, ...(this.#wanted.topics ?? [])];
    const search = new URLSearchParams({ topics: topics.join(',') });
    if (this.#wanted.logs !== undefined) {
      search.set('logs', this.#wanted.logs);
      if (this.logs.after !== null) search.set('after', String(this.logs.after));
    }
    const headers: Record<string, string> = { accept: 'text/event-stream' };
    if (this.#lastId !== '') headers['last-event-id'] = this.#lastId;
    // However it ends, nothing of it stays open: a browser has six connections to one address.
    const own = new AbortController();
    const init = {
      headers,
      signal: AbortSignal.any([signal, own.signal]),
      credentials: 'same-origin',
    } as const;
    try {
      const response = await within(fetch(`/v1/live?${search.toString()}`, init), SILENCE);
      if (!response.ok || response.body === null)
        throw problem(response.status, await within(response.text(), SILENCE));
      await this.#read(response.body.pipeThrough(new TextDecoderStream()).getReader(), signal);
    } finally {
      own.abort();
    }
  }

  /** Takes what comes until something is missing; throws when nothing comes any more. */
  async #read(reader: ReadableStreamDefaultReader<string>, signal: AbortSignal) {
    const sse = new SseReader();
    for (;;) {
      const { done, value } = await within(reader.read(), SILENCE);
      if (signal.aborted) return;
      if (done) throw new Error('the stream ended');
      this.connection = 'open';
      this.#pause = FIRST_PAUSE;
      for (const message of sse.feed(value)) {
        if (message.event === 'cut' || !this.#take(message)) return;
      }
    }
  }

  /** False: something is missing, and a snapshot is needed. */
  #take({ id, event, data }: Message): boolean {
    const frame = JSON.parse(data) as Frame;
    if (event === 'logs') {
      this.logs.add((frame.items ?? []) as LogLine[], frame.snapshot === true);
      this.logTurn += 1;
      return true;
    }
    const topic = this.#topics.get(event) ?? new Topic();
    this.#topics.set(event, topic);
    const taken = topic.take(frame);
    if (taken === 'gap') return false;
    if (id !== '') this.#lastId = id;
    if (taken === 'taken') this.#show(event, topic, frame);
    return true;
  }

  #show(event: string, topic: Topic, frame: Frame) {
    const changed = frame.snapshot === true || frame.put !== undefined || frame.gone !== undefined;
    switch (event) {
      case 'system':
        this.system = topic.state as Partial<System>;
        break;
      case 'services':
        if (changed) this.services = Object.values(topic.state as Record<string, Service>).sort(byRank);
        if (frame.snapshot) {
          // What a page read before the first one is as new.
          if (this.known) this.epoch += 1;
          this.known = true;
        }
        break;
      case 'traffic':
        this.traffic = topic.state as Record<string, Traffic>;
        break;
      case 'sagas':
        this.sagas = topic.state as Record<string, number>;
        break;
      case 'subscriptions':
        this.subscriptions = Object.values(topic.state as Record<string, Subscription>);
        break;
      case 'outboxes':
        this.outboxes = Object.values(topic.state as Record<string, Outbox>);
        break;
      case 'changes': {
        // A snapshot may hold some that the next frame tells once more.
        const before = frame.snapshot ? [] : this.changes;
        const last = before.at(-1)?.n ?? 0;
        const items = ((frame.items ?? []) as Change[]).filter(({ n }) => n > last);
        this.changes = [...before, ...items].slice(-MAX_CHANGES);
        break;
      }
    }
    this.#heard.get(event)?.forEach((callback) => callback(frame));
  }
}

function byRank(one: Service, two: Service) {
  return one.rank - two.rank;
}

/** Fails when nothing comes for so long: a dead connection says nothing. */
async function within<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('nothing came')), ms);
  });
  try {
    return await Promise.race([promise, silence]);
  } finally {
    clearTimeout(timer);
  }
}

export const live = new Live();

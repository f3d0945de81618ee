// What the admin API says, as far as the console reads it. Times are milliseconds since 1970 unless they are texts.

export type Members = Record<string, unknown>;

/** A frame of `GET /v1/live`. */
export interface Frame {
  n: number;
  snapshot?: boolean;
  put?: Members;
  gone?: string[];
  items?: unknown[];
  lost?: number;
}

export interface System {
  system: string;
  version: string;
  root: string;
  gateways: [string, string][];
  problem: string | null;
  /** What works and will not always. */
  warnings: string[];
  generation: number | null;
}

export type ServiceState =
  | 'skipped'
  | 'building'
  | 'build-failed'
  | 'waiting'
  | 'starting'
  | 'ready'
  | 'replacing'
  | 'degraded'
  | 'failing'
  | 'stopped';

export interface Instance {
  id: string;
  phase: 'starting' | 'ready' | 'stopping' | 'backing-off' | 'crash-loop' | 'failed' | 'stopped';
  pid: number | null;
  port: number;
  release: string;
  since: number;
  started_at: number | null;
  restarts: number;
  last_exit: unknown;
  reason: string | null;
  until: number | null;
  containment: string;
}

export interface Service {
  service: string;
  state: ServiceState;
  reason: string | null;
  release: string | null;
  wanted: number;
  ready: number;
  instances: Instance[];
  build: { build: string; state: string; since: number; line: string } | null;
  depends_on: string[];
  team: string | null;
  about: string | null;
  rank: number;
  scale?: [number, number];
}

export interface Traffic {
  rate: number;
  errors: number | null;
  p50_us: number | null;
  p95_us: number | null;
  p99_us: number | null;
  /** Requests per second and share of errors in each slice of the last minute. */
  slices?: [number, number][];
}

export type SagaState =
  'running' | 'parked' | 'paused' | 'compensating' | 'stuck' | 'paused-compensating' | 'done' | 'aborted';

export interface Saga {
  id: string;
  saga: string;
  state: SagaState;
  step: string;
  updated_at: number;
  wake_at?: number;
}

export interface Step {
  name: string;
  kind: 'compensable' | 'pivot' | 'retriable';
  service: string;
  call: string;
  undo?: string;
  stage: number;
  action: StepStatus;
  compensate: StepStatus;
  attempts: number;
  compensate_attempts: number;
  in_doubt: boolean;
  why?: string;
  output: Members;
}
export type StepStatus = 'idle' | 'due' | 'sent' | 'polling' | 'done' | 'failed' | 'held' | 'waived';
export type Op = 'action' | 'compensate';

export type Moment = { position: number; at: number } & (
  | { e: 'started'; definition: string }
  | { e: 'sent'; step: string; op: Op; n: number }
  | { e: 'answered'; step: string; op: Op; n: number; outcome: string; why?: string }
  | { e: 'aborting'; step: string; reason: string }
  | { e: 'held'; phase: SagaState; step: string; why: string }
  | { e: 'operator'; action: string; step?: string; reason?: string }
  | { e: 'ended'; phase: SagaState }
);

export interface SagaView extends Saga {
  started_at: number;
  deadline: number;
  definition: string;
  correlation: string;
  /** The event or call that led to it. */
  causation?: string;
  subject?: string;
  input: unknown;
  failure?: { step: string; reason: string };
  steps: Step[];
  answer?: { status: number; location?: string; content_type: string; body: string };
  history: Moment[];
}

export interface Change {
  n: number;
  at: number;
  kind:
    | 'started'
    | 'release'
    | 'restart'
    | 'unwell'
    | 'recovered'
    | 'scale'
    | 'config'
    | 'problem'
    | 'warning'
    | 'controller'
    | 'action';
  subject?: string;
  from?: string;
  to?: string;
  why?: string;
}

export interface LogLine {
  seq: number;
  at: number;
  source: string;
  /** `gap`: no line, but the mark that stands where some may be missing. */
  stream: 'out' | 'err' | 'sup' | 'access' | 'gap';
  text: string;
  continued?: boolean;
  level?: string;
  trace_id?: string;
}

/** A CloudEvent with its place. */
export interface Event extends Members {
  id: string;
  type: string;
  source: string;
  time?: string;
  subject?: string;
  partitionkey?: string;
  correlationid?: string;
  causationid?: string;
  data?: unknown;
  stream: string;
  revision: number;
  position: number;
}

export interface EventNews {
  position: number;
  stream: string;
  revision: number;
  id: string;
  type: string;
  at: number;
}

export interface Topic {
  type: string;
  publisher: string | null;
  events: number;
  last_position: number | null;
  last_at: number | string | null;
  subscriptions: string[];
}

export interface StreamRow {
  name: string;
  events: number;
  last_at: number | string | null;
}

export interface Subscription {
  name: string;
  service: string;
  types: string[];
  push: string | null;
  state: 'running' | 'waiting' | 'misconfigured' | 'paused' | 'full';
  reason?: string | null;
  position: number;
  head: number;
  lag: number;
  in_flight: number;
  at_once?: number;
  retrying_keys: number;
  parked_keys: number;
  parked_events: number;
  delayed_keys?: number;
  delivered: number;
  /** As the manifest has it. */
  settings?: Members;
}

export interface Key {
  key: string;
  state: 'parked' | 'retrying' | 'delayed';
  since: number | string;
  wake_at: number | string | null;
  attempts: number;
  error: string | null;
  events: number;
  /** Absent when the log has it no more. */
  first: { position: number; id: string; type: string } | null;
}

export interface KeyView extends Key {
  /** At most the first 100; `edited` is delivered in the place of the event's own data. */
  queue: { position: number; event: Event; edited?: unknown }[];
}

/** One end of a cause: an event, or a saga's call by its key `SAGA.STEP.action`. */
export interface Link {
  kind: 'event' | 'step';
  id: string;
  type?: string;
  position?: number;
}

/** Where an event stands with a subscription that wants it. */
export interface Standing {
  subscription: string;
  position: number;
  state: string;
}

export interface Shown {
  event: Event;
  causes: Link[];
  effects: Link[];
  /** There may be more effects. */
  truncated: boolean;
  deliveries: Standing[];
}

export interface Outbox {
  service: string;
  state: string;
  reason: string | null;
  relayed: number;
  pending: number | null;
  poisoned: number;
}

export interface FlowNode {
  id: string;
  kind: 'saga' | 'step' | 'event' | 'delivery';
  label: string;
  service: string | null;
  /** `null`: of a delivery only its state is known. */
  at: number | string | null;
  ended: number | string | null;
  state: string;
  retries?: number;
  link: string | null;
}

export interface Flow {
  correlation: string;
  nodes: FlowNode[];
  edges: { from: string; to: string; kind: 'caused' | 'called' | 'delivered' }[];
  truncated: boolean;
}

/** What a check found for one key. */
export interface Drift {
  key: string;
  since: number;
  seen: number;
  /** In words, one for each rule that does not hold. */
  why: string[];
  /** What each source says, `SOURCE.MEMBER`. */
  values: Members;
  /** `id`: it is started; `refused`: it could not be. `null`: nothing is declared. */
  repair: { saga: string; id?: string; refused?: string } | null;
}

export interface Reconciliation {
  name: string;
  service: string;
  about?: string;
  every: string;
  settle: string;
  /** Each with where it is asked. */
  sources: Record<string, string>;
  state: 'pass' | 'fail' | 'unknown';
  /** Why it is unknown. */
  reason?: string;
  running: boolean;
  last_run: number | null;
  next_run: number;
  keys: number;
  /** Keys that changed lately, and are not judged yet. */
  moving: number;
  /** Keys that one run has found not to fit, and no second one yet. */
  suspected: number;
  reported: number;
  /** Drifts that are only counted. */
  more: number;
  drifts: Drift[];
}

/** A gateway route as the proxy has it. */
export interface Route {
  name: string;
  service: string;
  matches: { path: Record<string, string>; methods: string[]; hosts: string[] };
  auth: { issuer: string; scope: string | null; role: string | null; forward: boolean } | null;
  action: {
    forward?: { service: string; weight: number }[];
    start?: { saga: string; wait_ms: number; key_required: boolean };
    redirect?: { status: number };
  };
  mirrors: { service: string; share: number }[];
  policy: Policy;
  limit: { per_second: number; burst: number; by: unknown } | null;
}

export interface Policy {
  timeout_ms: number;
  stream: boolean;
  retries: number;
  breaker: { failure_ratio: number; minimum: number; open_ms: number };
  body_limit: number;
}

export interface Explanation {
  route: string;
  service: string;
  skipped: string | null;
  values: { key: string; value: string; origin: { file: string; line: number; column: number } | null }[];
}

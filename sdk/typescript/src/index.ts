// What a Node.js service needs to take part in Ondol's sagas and events, and nothing more. README.md begins with examples.
//
// | part      | for                                                                                |
// |-----------|------------------------------------------------------------------------------------|
// | barrier   | a step of a saga that happens once, and not after its compensation                 |
// | outbox    | an event that is published when the caller's transaction commits, and only then    |
// | inbox     | an event that takes effect once, however often it is delivered                     |
// | publish   | events that belong to no transaction                                               |
// | subscribe | events pushed to a path of the service (`parsePush`), or pulled by it (`Subscription`) |
//
// No dependency at run time: databases and web frameworks are the caller's own. Invented nothing that curl could not do.

export { isSuccess, late, ok, type Answer } from './answer.ts';
export * as barrier from './barrier.ts';
export type { Database, PgClient, SqliteHandle } from './database.ts';
export { BadEvent, causedBy, type CloudEvent, type NewEvent } from './event.ts';
export type { HeaderSource } from './headers.ts';
export * as inbox from './inbox.ts';
export * as outbox from './outbox.ts';
export {
  BadAnswer,
  Platform,
  Refused,
  Unavailable,
  type Patience,
  type PlatformOptions,
} from './platform.ts';
export { MAX_BATCH, publish, publishBatch, type Published, type PublishOptions } from './publish.ts';
export { BadPush, parsePush, type Push } from './push.ts';
export { KeyError, keyOf, keyText, parseKey, type Operation, type SagaKey } from './saga-key.ts';
export {
  Reject,
  Subscription,
  type Handler,
  type Leased,
  type PullOptions,
  type RunOptions,
} from './subscription.ts';

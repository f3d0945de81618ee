// The headers of a saga's call: which step of which saga, and whether to do or to undo it.

import { header, type HeaderSource } from './headers.ts';

/** Longest key that is read. A UUID, a step name of 63 and an operation fit three times over. */
const MAX_KEY_LENGTH = 256;

const OPERATIONS = ['action', 'compensate'] as const;

/** Whether the call does the step or undoes it. */
export type Operation = (typeof OPERATIONS)[number];

/** The identity of a saga's call: the same on every attempt. */
export interface SagaKey {
  saga: string;
  step: string;
  operation: Operation;
  /** `Ondol-Attempt`, `<epoch>.<n>`; kept with the row for people who read it, the barrier does not need it. */
  attempt: string;
}

/** The headers name no step of a saga. A saga never causes it, so 400 is the right answer. */
export class KeyError extends Error {
  override name = 'KeyError';
}

/** `<saga id>.<step>.<action|compensate>`, quoted or bare. Throws `KeyError`. */
export function parseKey(text: string): SagaKey {
  const bare = /^"(.*)"$/s.exec(text)?.[1] ?? text;
  // The last two parts: a step's name has no dot, and what is left is the saga's id.
  const parts = bare.length <= MAX_KEY_LENGTH ? /^([!#-~]+)\.([!#-\-/-~]+)\.([a-z]+)$/.exec(bare) : null;
  const [, saga, step, last] = parts ?? [];
  const operation = OPERATIONS.find((name) => name === last);
  if (!saga || !step || !operation) {
    throw new KeyError(
      `Idempotency-Key ${JSON.stringify(text)} is not "<saga id>.<step>.<action|compensate>"`,
    );
  }
  return { saga, step, operation, attempt: '0.0' };
}

/** Reads `Idempotency-Key`, and `Ondol-Op` and `Ondol-Attempt` where they are given. Throws `KeyError`. */
export function keyOf(headers: HeaderSource): SagaKey {
  const text = header(headers, 'idempotency-key');
  if (text === undefined) {
    throw new KeyError(
      'the header Idempotency-Key is missing: this path is a step of a saga and needs its key',
    );
  }
  const key = parseKey(text);
  const said = header(headers, 'ondol-op');
  if (said !== undefined && said !== key.operation) {
    throw new KeyError(
      `Ondol-Op ${JSON.stringify(said)} contradicts the key's ${JSON.stringify(key.operation)}`,
    );
  }
  const attempt = header(headers, 'ondol-attempt') ?? '';
  return /^\d{1,20}\.\d{1,20}$/.test(attempt) ? { ...key, attempt } : key;
}

/** As in `Idempotency-Key`. */
export const keyText = ({ saga, step, operation }: SagaKey): string => `${saga}.${step}.${operation}`;

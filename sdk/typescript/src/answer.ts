// What a participant says: a status and a JSON body, small enough to be kept in the barrier's row.

export interface Answer {
  /** HTTP status. */
  status: number;
  /** JSON; an RFC 9457 problem when the status is 400 or more. */
  body: unknown;
}

/** 200 with this body. */
export const ok = (body: unknown): Answer => ({ status: 200, body });

/** What an action that comes after its own compensation is told: 409, and nothing has happened. */
export const late = (): Answer => ({
  status: 409,
  body: { title: 'This step has been compensated already', status: 409, reason: 'compensated' },
});

/** Whether the step was done: a 2xx. */
export const isSuccess = ({ status }: Answer): boolean => status >= 200 && status < 300;

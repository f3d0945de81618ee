"""The barrier: one table, in the participant's own database, written in the transaction of the effect.

Insert first, ask afterwards. A row `(saga, step, op)` is the slot of one operation; whoever inserts it owns it. An action
takes its slot. A compensation takes the *action's* slot too, so that an action which never came can never come later;
then it takes its own.

| who comes | finds | does |
|---|---|---|
| action | nothing | the effect |
| action again | its own row | gives the stored answer |
| action after its compensation | the slot taken by `compensate` | nothing, 409 |
| compensation | the action's row with a stored 2xx | undoes it |
| compensation | no action, or one that was refused | nothing, 200 |
| compensation again | its own row | gives the stored answer |

What must hold
- The row and the effect commit together, or neither. On SQLite the transaction begins with `BEGIN IMMEDIATE`.
- A compensation always does *both* inserts: one that stops after the first, or undoes an action whose stored answer is a
  refusal, prints money when it is repeated.
- A definite failure (400, 409, 422) of an action that can be compensated, or of a pivot, is stored like a success. A
  *retriable* step or a compensation that fails stores nothing: roll back, so that the next try is a first one again.
- Nothing selects before it inserts: `SELECT … FOR UPDATE` first deadlocks on the gap where the row will be.

Rows are kept as long as a saga's start key can be repeated; nothing here deletes them.
Tests: `conformance/sdk/cases/barrier.json`.
"""

import json
from dataclasses import dataclass, field

from ondol._database import Connection, execute, first_row
from ondol.answer import Answer
from ondol.key import Operation, SagaKey

#: The table. Run it at start (`create`) or put it into the service's migrations; it is the same on both databases.
SCHEMA = """\
CREATE TABLE IF NOT EXISTS ondol_barrier (
    saga    TEXT NOT NULL,
    step    TEXT NOT NULL,
    op      TEXT NOT NULL, -- whose slot: action or compensate
    by_op   TEXT NOT NULL, -- who took it
    attempt TEXT NOT NULL, -- <epoch>.<n> of the one that took it
    status  BIGINT,        -- the answer, once there is one
    answer  TEXT,
    PRIMARY KEY (saga, step, op)
)"""

_CLAIM = "INSERT INTO ondol_barrier (saga, step, op, by_op, attempt) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_READ = "SELECT by_op, status, answer FROM ondol_barrier WHERE saga = ? AND step = ? AND op = ?"
_KEEP = "UPDATE ondol_barrier SET status = ?, answer = ? WHERE saga = ? AND step = ? AND op = ?"


@dataclass(frozen=True, slots=True)
class First:
    """Nothing has happened yet: do the effect, then `store` the answer, then commit."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """It has been done, refused or undone before: give this answer."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Late:
    """The compensation was here first: do nothing and give this answer, a 409."""

    answer: Answer = field(default_factory=Answer.late)


@dataclass(frozen=True, slots=True)
class Needed:
    """The action took effect: undo it, `store` the answer, commit."""


@dataclass(frozen=True, slots=True)
class NotNeeded:
    """There is nothing to undo: `store` a 200, commit. The commit matters: it closes the action's slot."""


class BarrierError(Exception):
    """The barrier cannot say what to do. Roll back and answer 500: the saga tries again."""


class WrongOperation(BarrierError):
    """A handler for doing got a key for undoing, or the other way round. Answer 400."""


class NoAnswer(BarrierError):
    """A row was committed without `store`: a mistake in the handler, since what to answer now is unknown."""


class NotEntered(BarrierError):
    """`store` without an `action` or `compensation` before it in the transaction."""


def create(connection: Connection) -> None:
    """Makes the table where it is missing."""
    connection.execute(SCHEMA)


def action(connection: Connection, key: SagaKey) -> First | Duplicate | Late:
    """Enters an action. Two statements at most; on PostgreSQL it waits for a transaction that holds the same slot.

    Raises `BarrierError` and what the database raises; roll back.
    """
    _expect(key, Operation.ACTION)
    if _claim(connection, key, Operation.ACTION):
        return First()
    by_op, answer = _read(connection, key, Operation.ACTION)
    return Duplicate(_stored(key, answer)) if by_op == Operation.ACTION else Late()


def compensation(connection: Connection, key: SagaKey) -> Needed | NotNeeded | Duplicate:
    """Enters a compensation: always both inserts, three statements at most.

    Raises `BarrierError` and what the database raises; roll back.
    """
    _expect(key, Operation.COMPENSATE)
    _claim(connection, key, Operation.ACTION)
    if not _claim(connection, key, Operation.COMPENSATE):
        _, answer = _read(connection, key, Operation.COMPENSATE)
        return Duplicate(_stored(key, answer))
    by_op, answer = _read(connection, key, Operation.ACTION)
    done = by_op == Operation.ACTION and answer is not None and answer.is_success
    return Needed() if done else NotNeeded()


def store(connection: Connection, key: SagaKey, answer: Answer) -> None:
    """Keeps the answer of the operation that `key` names, in the row that it has entered in this transaction.

    Raises `NotEntered` and what the database raises; roll back.
    """
    text = json.dumps(answer.body, ensure_ascii=False, allow_nan=False)
    done = execute(connection, _KEEP, (answer.status, text, key.saga, key.step, key.operation.value))
    if done.rowcount != 1:
        raise NotEntered(f"step {key} has no row to keep its answer in: call action or compensation first")


def _expect(key: SagaKey, operation: Operation) -> None:
    if key.operation is not operation:
        raise WrongOperation(f"the key {key} is for the other operation")


def _claim(connection: Connection, key: SagaKey, slot: Operation) -> bool:
    values = (key.saga, key.step, slot.value, key.operation.value, str(key.attempt))
    return bool(execute(connection, _CLAIM, values).rowcount == 1)


def _read(connection: Connection, key: SagaKey, slot: Operation) -> tuple[str, Answer | None]:
    row = first_row(execute(connection, _READ, (key.saga, key.step, slot.value)))
    if row is None:
        raise BarrierError(f"the row of step {key} has gone since the insert met it: something deletes from the table")
    by_op, status, text = row
    return by_op, None if status is None or text is None else Answer(status, json.loads(text))


def _stored(key: SagaKey, answer: Answer | None) -> Answer:
    if answer is None:
        raise NoAnswer(f"step {key} was committed without an answer: the handler must call store before it commits")
    return answer

#!/usr/bin/env python3
"""The runner's own tests: a driver with one fault must fail, in the cases that are about it.

The driver is the Python SDK's. Each mutant below is that driver after a few lines that spoil one promise of the SDK; were
the runner or a case blind to it, the mutant would pass and this would fail.
"""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).parent
PYTHON_SDK = HERE.parent.parent / "sdk/python"

#: The fault, what spoils it, and the case that must fail.
MUTANTS = [
    (
        "a compensation that leaves the action's slot open",
        "claim = barrier._claim\n"
        "barrier._claim = lambda c, k, slot: (k.operation != slot and barrier.first_row(barrier.execute(c, barrier._READ,"
        " (k.saga, k.step, slot.value)))) or (k.operation == slot and claim(c, k, slot))\n"
        "read = barrier._read\n"
        "def absent(c, k, slot):\n"
        "    try: return read(c, k, slot)\n"
        "    except barrier.BarrierError: return 'nobody', None\n"
        "barrier._read = absent",
        "barrier: no action, compensated twice",
    ),
    (
        "a compensation that undoes what was refused",
        "from ondol.answer import Answer\nAnswer.is_success = property(lambda self: True)",
        "barrier: an action that was refused, compensated twice",
    ),
    (
        "a duplicate that is done again",
        "barrier._CLAIM = barrier._CLAIM.replace('ON CONFLICT DO NOTHING',"
        " 'ON CONFLICT (saga, step, op) DO UPDATE SET attempt = excluded.attempt')",
        "barrier: a duplicate hears the stored answer",
    ),
    (
        "an answer that is not stored",
        "barrier._KEEP = barrier._KEEP.replace('answer = ?', 'answer = substr(?, 1, 0)')",
        "barrier: killed after the commit of an action",
    ),
    (
        "a key that is read from the left",
        "from ondol.key import Attempt, SagaKey, Operation\n"
        "def parse(cls, text, attempt=Attempt()):\n"
        "    saga, step, operation = text.strip('\"').split('.')\n"
        "    return cls(saga, step, Operation(operation), attempt)\n"
        "SagaKey.parse = classmethod(parse)",
        "barrier: a key is read quoted and bare",
    ),
    (
        "an outbox row that commits by itself",
        "import sqlite3\n"
        "def enqueue(connection, event, context=None):\n"
        "    connection.execute('COMMIT')\n"
        "    kept(connection.execute('BEGIN IMMEDIATE').connection, event, context or ondol.Context())\n"
        "    connection.execute('COMMIT')\n"
        "    connection.execute('BEGIN IMMEDIATE')\n"
        "    return event.id\n"
        "kept, outbox.enqueue = outbox.enqueue, enqueue",
        "outbox: an aborted transaction leaves nothing",
    ),
    (
        "an outbox that deletes one too many",
        "outbox._DELETE = outbox._DELETE.replace('seq <= ?', 'seq <= ? + 1')",
        "outbox: on SQLite what was relayed is deleted",
    ),
    (
        "an outbox table whose numbers come again",
        "outbox.SCHEMA_SQLITE = outbox.SCHEMA_SQLITE.replace(' AUTOINCREMENT', '')",
        "outbox: on SQLite what was relayed is deleted",
    ),
    (
        "baggage that is not decoded",
        "from ondol import context\ncontext.unquote = lambda text, errors: text",
        "outbox: the request's correlation, causation and trace go along",
    ),
    (
        "an inbox for all subscriptions together",
        "once = inbox.once\ninbox.once = lambda c, subscription, event: once(c, 'all', event)",
        "inbox: each subscription takes it for itself",
    ),
    (
        "an inbox that always says yes",
        "once = inbox.once\ninbox.once = lambda c, subscription, event: once(c, subscription, event) or True",
        "inbox: twice at once",
    ),
    (
        "a publisher that makes a new id for each try",
        "from ondol import platform\n"
        "from ondol.event import _new_id\n"
        "attempt = platform.Platform._try\n"
        "def again(self, method, path, body, *rest):\n"
        "    event = json.loads(body)\n"
        "    for one in event if isinstance(event, list) else [event]:\n"
        "        one['id'] = _new_id()\n"
        "    return attempt(self, method, path, json.dumps(event).encode(), *rest)\n"
        "platform.Platform._try = again",
        "publish: a lost answer and a 500 are tried again",
    ),
    (
        "a publisher that does not wait as it is told",
        "from ondol import platform\nplatform._seconds = lambda value: None",
        "publish: 503 with Retry-After",
    ),
    (
        "a publisher that tries a refusal again",
        "from ondol import platform\n"
        "read = platform._read\n"
        "def again(answer):\n"
        "    try: return read(answer)\n"
        "    except platform.Refused as error: raise OSError from error\n"
        "platform._read = again",
        "publish: a refusal is told with its code",
    ),
    (
        "header values that are not percent-encoded",
        "from ondol import event\nevent.quote = lambda text, safe: text.encode().decode('latin-1')",
        "publish: one event, binary",
    ),
    (
        "header values that are not percent-decoded",
        "from ondol import event\nevent.unquote = lambda text, errors: text",
        "subscribe: header values are percent-decoded",
    ),
    (
        "a loop that acknowledges before it handles",
        "handle = subscribe._handle\n"
        "def early(platform, name, handler, leased):\n"
        "    subscribe.ack(platform, name, [leased.lease])\n"
        "    handler(leased)\n"
        "subscribe._handle = early",
        "subscribe: the loop acknowledges after the handler",
    ),
    (
        "a loop that ends when the platform is away",
        "subscribe.Unavailable = type('Other', (Exception,), {})",
        "subscribe: the loop outlives",
    ),
]


class RunnerTest(unittest.TestCase):
    """Whether the runner sees what it should."""

    def check(self, mutation: str, cases: str) -> str:
        """Runs these cases against the spoiled driver, and gives what the runner says in the end."""
        with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
            mutant = Path(folder) / "mutant.py"
            mutant.write_text(
                "import json, sys\n"
                f"sys.path[:0] = [{str(PYTHON_SDK / 'src')!r}, {str(PYTHON_SDK / 'conformance')!r}]\n"
                "import ondol\nfrom ondol import barrier, inbox, outbox, subscribe\n"
                f"{mutation}\n"
                "import driver\ndriver.main()\n",
                encoding="utf-8",
            )
            words = ["--database", "sqlite", "--case", cases, "--", sys.executable, str(mutant)]
            run = subprocess.run([sys.executable, str(HERE / "run.py"), *words], capture_output=True, text=True, check=False)
        last = run.stdout.splitlines()[-1]
        self.assertEqual(run.returncode == 0, last.endswith(" 0 failed"), "the exit code says what the last line says")
        return last

    def test_a_driver_without_a_fault_passes(self) -> None:
        self.assertRegex(self.check("", ""), "conformance: [1-9][0-9]+ passed, 0 failed")

    def test_a_driver_with_one_fault_fails(self) -> None:
        for fault, mutation, case in MUTANTS:
            with self.subTest(fault):
                self.assertEqual(self.check(mutation, case), "conformance: 0 passed, 1 failed")

    def test_a_driver_that_is_none_fails(self) -> None:
        for words in (["true"], ["echo", "hello"], ["echo", '{"id": 7, "ok": {}}']):
            with self.subTest(words):
                run = [sys.executable, str(HERE / "run.py"), "--database", "sqlite", "--case", "inbox: ", "--", *words]
                self.assertEqual(subprocess.run(run, capture_output=True, check=False).returncode, 1)


if __name__ == "__main__":
    unittest.main()

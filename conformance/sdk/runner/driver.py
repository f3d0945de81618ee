"""One driver process: JSON lines in, JSON lines out, killed at will."""

import json
import queue
import subprocess
import threading
from collections.abc import Sequence
from typing import Any, Self

#: Seconds that a driver may take for one line. Far above what any case needs: reaching it is a failure, not a slow machine.
PATIENCE = 60.0


class DriverError(Exception):
    """The driver broke the protocol; no case can be judged by what it says."""


class Driver:
    """A started driver. Lines may be sent ahead; answers come in the order of the lines."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._sent = 0
        self._heard = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def ask(self, line: dict[str, Any]) -> dict[str, Any]:
        """Sends a line and waits for its answer."""
        self.send(line)
        return self.receive()

    def send(self, line: dict[str, Any]) -> None:
        """Sends a line without waiting."""
        self._sent += 1
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"id": self._sent, **line}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise DriverError(f"the driver has ended before {line}") from error

    def receive(self) -> dict[str, Any]:
        """The answer to the oldest line that has none yet."""
        self._heard += 1
        try:
            text = self._answers.get(timeout=PATIENCE)
        except queue.Empty as error:
            raise DriverError(f"no answer within {PATIENCE:.0f} s") from error
        if text is None:
            raise DriverError(f"the driver ended with {self._process.wait()} instead of answering")
        try:
            answer = json.loads(text)
        except ValueError as error:
            raise DriverError(f"not a JSON line: {text!r}") from error
        if not isinstance(answer, dict) or answer.get("id") != self._heard or not ({"ok", "error"} & answer.keys()):
            raise DriverError(f"expected an answer with id {self._heard} and ok or error: {text!r}")
        return answer

    def kill(self) -> None:
        """Ends it as a power cut would: no handler of its own runs."""
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(None)

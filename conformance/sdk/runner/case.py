"""Cases: read from `cases/*.json`, and run step by step. `README.md` lists the steps."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .database import Database
from .driver import Driver, DriverError
from .matching import differences
from .platform import TOKEN, Platform

#: What a step may have besides the arguments of what it does; a mistyped member would check nothing.
_JUDGED = {"do", "on", "ahead", "expect", "error"}
_STEPS = [{"await"}, {"kill"}, {"run"}, {"answers"}, {"requests"}, {"rows", "expect"}, {"columns", "expect"}]


class Failure(Exception):
    """The SDK does not do what the case says."""


@dataclass(frozen=True)
class Case:
    """One claim about an SDK."""

    part: str
    name: str
    databases: tuple[str, ...]
    steps: tuple[dict[str, Any], ...]

    def run(self, command: Sequence[str], database: Database) -> None:
        """Checks the driver that `command` starts; raises `Failure` or `DriverError` with the step at fault."""
        with ExitStack() as stack:
            run = _Run(command, stack.enter_context(database), stack.enter_context(Platform()))
            stack.callback(run.end)
            for n, step in enumerate(self.steps, 1):
                try:
                    run.step(step)
                except (Failure, DriverError) as error:
                    raise type(error)(f"step {n} {json.dumps(step, ensure_ascii=False)}\n    {error}") from error


def read(folder: Path) -> Iterator[Case]:
    """Every case in the folder, in order."""
    for path in sorted(folder.glob("*.json")):
        file = json.loads(path.read_text(encoding="utf-8"))
        handlers = file.get("handlers", {})
        for case in file["cases"]:
            steps = tuple(_expand([*file.get("setup", []), *case["steps"]], handlers))
            for step in steps:
                _check_shape(step, path)
            databases = tuple(case.get("databases", file.get("databases", ["sqlite", "postgres"])))
            yield Case(file["part"], case["name"], databases, steps)


def _expand(steps: list[dict[str, Any]], handlers: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Puts a handler's steps where it is called, with the call's words in the place of `{word}`."""
    for step in steps:
        if "call" not in step:
            yield step
            continue
        words = {name: value for name, value in step.items() if name != "call"}
        yield from (_fill(inner, words) for inner in handlers[step["call"]])


def _fill(value: Any, words: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _fill(inner, words) for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill(inner, words) for inner in value]
    if isinstance(value, str):
        for name, word in words.items():
            if value == f"{{{name}}}":
                return word
            value = value.replace(f"{{{name}}}", str(word))
    return value


def _check_shape(step: dict[str, Any], path: Path) -> None:
    one_outcome = not {"expect", "error"} <= step.keys()
    if not ("do" in step and one_outcome) and step.keys() not in _STEPS:
        raise ValueError(f"{path.name}: not a step: {json.dumps(step)}")


class _Run:
    """A case under way: its drivers by name, started when first needed."""

    def __init__(self, command: Sequence[str], database: Database, platform: Platform) -> None:
        self._command = command
        self._database = database
        self._platform = platform
        self._drivers: dict[str, Driver] = {}
        self._ahead: dict[str, list[dict[str, Any]]] = {}
        self._names: dict[str, Any] = {}

    def end(self) -> None:
        for driver in self._drivers.values():
            driver.kill()

    def step(self, step: dict[str, Any]) -> None:
        word = next(word for word in ("do", "await", "kill", "run", "answers", "requests", "rows", "columns") if word in step)
        handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "do": self._do,
            "await": self._await,
            "kill": lambda step: self._drivers.pop(step["kill"]).kill(),
            "run": lambda step: self._database.run(step["run"]),
            "answers": lambda step: self._platform.script(step["answers"]),
            "requests": lambda step: self._requests(step["requests"]),
            "rows": lambda step: self._judge(step["expect"], self._database.rows(step["rows"])),
            "columns": lambda step: self._judge(step["expect"], self._database.columns(step["columns"])),
        }
        handlers[word](step)

    def _do(self, step: dict[str, Any]) -> None:
        line = {key: value for key, value in step.items() if key not in _JUDGED or key == "do"}
        name = step.get("on", "a")
        if step.get("ahead"):
            self._driver(name).send(line)
            self._ahead.setdefault(name, []).append(step)
        else:
            self._hear(step, self._driver(name).ask(line))

    def _await(self, step: dict[str, Any]) -> None:
        for sent in self._ahead.pop(step["await"]):
            self._hear(sent, self._driver(step["await"]).receive())

    def _hear(self, step: dict[str, Any], answer: dict[str, Any]) -> None:
        if "error" in step:
            self._judge({"error": step["error"]}, answer)
        elif "ok" not in answer:
            raise Failure(f"{step['do']}: {json.dumps(answer, ensure_ascii=False)}")
        else:
            self._judge(step.get("expect", {}), answer["ok"])

    def _requests(self, expected: list[dict[str, Any]]) -> None:
        requests = self._platform.take()
        plain = [{key: value for key, value in one.items() if key != "after"} for one in expected]
        self._judge(plain, requests)
        for n, (one, request) in enumerate(zip(expected, requests, strict=True)):
            if request.get("waited", 0.0) < one.get("after", 0.0):
                raise Failure(f"request {n} came after {request['waited']:.3f} s, and not before {one['after']} s is right")

    def _judge(self, expected: Any, actual: Any) -> None:
        if found := differences(expected, actual, self._names):
            raise Failure("\n    ".join(found))

    def _driver(self, name: str) -> Driver:
        if name not in self._drivers:
            driver = self._drivers[name] = Driver(self._command)
            place = {"database": self._database.url, "ondol_url": self._platform.url, "ondol_token": TOKEN}
            answer = driver.ask({"do": "open", **place, "service": "shop"})
            if "ok" not in answer:
                raise DriverError(f"open: {answer}")
        return self._drivers[name]

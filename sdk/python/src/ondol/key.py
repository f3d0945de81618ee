"""The headers of a saga's call: which step of which saga, and whether to do or to undo it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from ondol._headers import folded

#: Longest key that is read, in characters. A UUID, a step's name of 63 and an operation fit three times over.
_MAX_KEY = 256

#: A quoted key or a bare one, of visible ASCII.
_KEY = re.compile(r'"([!#-~]+)"|([!#-~]+)')

_ATTEMPT = re.compile(r"(\d{1,19})\.(\d{1,19})", re.ASCII)


class Operation(StrEnum):
    """Whether the call does the step or undoes it."""

    ACTION = "action"
    COMPENSATE = "compensate"


class BadKey(ValueError):
    """The headers name no step of a saga. A saga never causes it, so a 400 is right; nothing may be done without a key."""


@dataclass(frozen=True, slots=True, order=True)
class Attempt:
    """`Ondol-Attempt: <epoch>.<n>`: which coordinator's term and which try; zero where the header is missing."""

    epoch: int = 0
    number: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads the header's value. Kept for people, so what is unreadable is as good as missing."""
        match = _ATTEMPT.fullmatch(text)
        return cls(int(match[1]), int(match[2])) if match else cls()

    def __str__(self) -> str:
        return f"{self.epoch}.{self.number}"


@dataclass(frozen=True, slots=True)
class SagaKey:
    """The identity of a saga's call. The same on every attempt."""

    saga: str
    step: str
    operation: Operation
    attempt: Attempt = Attempt()

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> Self:
        """Reads `Idempotency-Key`, and `Ondol-Op` and `Ondol-Attempt` where they are given.

        Raises `BadKey`.
        """
        by_name = folded(headers)
        if "idempotency-key" not in by_name:
            raise BadKey("the header Idempotency-Key is missing: this path is a saga's step and needs its key")
        key = cls.parse(by_name["idempotency-key"], Attempt.parse(by_name.get("ondol-attempt", "")))
        if by_name.get("ondol-op", key.operation) != key.operation:
            raise BadKey(f"Ondol-Op {by_name['ondol-op']!r} contradicts the key's {key.operation}")
        return key

    @classmethod
    def parse(cls, text: str, attempt: Attempt = Attempt()) -> Self:
        """Reads a key, quoted or bare: `"0198….pay.action"`.

        Raises `BadKey`.
        """
        match = _KEY.fullmatch(text) if len(text) <= _MAX_KEY else None
        # From the right: a step's name has no dot, and what is left is the saga's id.
        parts = (match[1] or match[2]).rsplit(".", 2) if match else []
        if len(parts) != 3 or not all(parts) or parts[2] not in list(Operation):
            raise BadKey(f'Idempotency-Key {text[:_MAX_KEY]!r} is not "<saga id>.<step>.<action|compensate>"')
        return cls(parts[0], parts[1], Operation(parts[2]), attempt)

    def __str__(self) -> str:
        return f"{self.saga}.{self.step}.{self.operation}"

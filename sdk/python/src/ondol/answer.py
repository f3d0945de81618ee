"""What a participant says: a status and a JSON body, small enough to be kept in the barrier's row."""

from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, as it is sent and as it is stored."""

    #: HTTP status.
    status: int
    #: A JSON value; an RFC 9457 problem when the status is 400 or more.
    body: Any

    @classmethod
    def ok(cls, body: Any) -> Self:
        """200 with this body."""
        return cls(200, body)

    @classmethod
    def late(cls) -> Self:
        """What an action that comes after its own compensation is told: 409, and nothing has happened."""
        return cls(409, {"title": "This step has been compensated already", "status": 409, "reason": "compensated"})

    @property
    def is_success(self) -> bool:
        """Whether the step was done: a 2xx."""
        return 200 <= self.status < 300

"""What belongs together: paths begin with the server's name and the case's."""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import TypeVar

_T = TypeVar("_T")
_PLACE = re.compile("(?:/[A-Za-z0-9.-]*){0,2}")


def by_case(said: Iterable[tuple[str, _T]]) -> dict[str, list[_T]]:
    """By the first two segments of the path."""
    grouped = defaultdict[str, list[_T]](list)
    for path, it in said:
        place = _PLACE.match(path)
        grouped[place[0] if place else ""].append(it)
    return grouped

"""Whether a value is what a case expects, and where it is not.

Objects match when each expected member does, so a driver may say more than it is asked; `null` also matches a member
that is absent. Arrays match element by element, everything else by equality. Three objects stand for more:
`{"$match": REGEX}` for a text, `{"$json": VALUE}` for a text that holds JSON, `{"$same": NAME}` for one value that is the
same wherever the name stands in the case.
"""

import json
import re
from typing import Any


def differences(expected: Any, actual: Any, names: dict[str, Any], at: str = "") -> list[str]:
    """Every place where `actual` is not what was expected; empty when it is. `names` keeps what `$same` has met."""
    if isinstance(expected, dict) and len(expected) == 1:
        (word, argument), *_ = expected.items()
        if word in _SPECIAL:
            return _SPECIAL[word](argument, actual, names, at)
    if isinstance(expected, dict) and isinstance(actual, dict):
        return [line for key, value in expected.items() for line in differences(value, actual.get(key), names, f"{at}.{key}")]
    if isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            return [f"{at or '.'}: {len(actual)} instead of {len(expected)}: {_show(actual)}"]
        pairs = enumerate(zip(expected, actual, strict=True))
        return [line for n, (one, other) in pairs for line in differences(one, other, names, f"{at}[{n}]")]
    # `True == 1` in Python, and not in JSON.
    if expected == actual and isinstance(expected, bool) == isinstance(actual, bool):
        return []
    return [f"{at or '.'}: {_show(actual)} instead of {_show(expected)}"]


def _match(pattern: str, actual: Any, _: dict[str, Any], at: str) -> list[str]:
    if isinstance(actual, str) and re.fullmatch(pattern, actual):
        return []
    return [f"{at or '.'}: {_show(actual)} does not match {pattern}"]


def _json(expected: Any, actual: Any, names: dict[str, Any], at: str) -> list[str]:
    try:
        value = json.loads(actual)
    except (TypeError, ValueError):
        return [f"{at or '.'}: {_show(actual)} is no JSON text"]
    return differences(expected, value, names, at)


def _same(name: str, actual: Any, names: dict[str, Any], at: str) -> list[str]:
    if actual is None:
        return [f"{at or '.'}: absent, and should be {name}"]
    return differences(names.setdefault(name, actual), actual, {}, at)


_SPECIAL = {"$match": _match, "$json": _json, "$same": _same}


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:300]}…"

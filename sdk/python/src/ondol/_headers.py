"""Header names are the same in any case; a plain dict is not."""

from collections.abc import Mapping


def folded(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers by their names in lower case."""
    return {name.lower(): value for name, value in headers.items()}

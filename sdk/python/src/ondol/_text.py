"""What Ondol takes as the text of an attribute: at most 512 bytes of UTF-8 without control characters."""

import unicodedata

_MAX_BYTES = 512


def fits(text: str, limit: int = _MAX_BYTES) -> bool:
    """Whether it may be an attribute's text."""
    try:
        short = len(text.encode()) <= limit
    except UnicodeEncodeError:  # Half a surrogate pair.
        return False
    return short and not any(unicodedata.category(letter) == "Cc" for letter in text)

"""When two failures are the same error: type, message without its volatile parts, and the place in the project."""

import re
from hashlib import blake2b

# In this order: what is quoted or long first, so that a number inside does not split it. Hex digits and numbers get
# the same sign, because some hashes have no letter in them.
_VOLATILE = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"'[^'\n]*'|\"[^\"\n]*\"", "<quoted>"),
        (r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b", "<uuid>"),
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?", "<time>"),
        (r"(?:[A-Za-z]:)?(?:[\\/][\w.@~+-]+){2,}[\\/]?", "<path>"),
        (r"[-+]?\b0[xX][0-9a-fA-F]+\b", "<n>"),
        (r"[-+]?(?<![\w.])(?=[0-9a-fA-F]*\d)(?=\d*[a-fA-F])[0-9a-fA-F]{8,}\b", "<n>"),
        (r"[-+]?\d+(?:[.,:]\d+)*(?:[eE][-+]?\d+)?", "<n>"),
        (r"\s+", " "),
    )
)
_LONGEST = 2000


def fingerprint(error_type: str, message: str, place: str = "") -> str:
    """16 hex digits. `place` is the innermost frame inside the project, as ``path:function``."""
    text = f"{error_type}\n{stable(message)}\n{place}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def stable(message: str) -> str:
    """The message without what differs each time: numbers, addresses, ids, times, paths, quoted values."""
    text = message[:_LONGEST]
    for pattern, replacement in _VOLATILE:
        text = pattern.sub(replacement, text)
    return text.strip()

"""How long things may be in the ledger, and how what is longer is cut.

A key has `stored_key` as its form in the ledger; messages lose their end.
"""

from collections.abc import Sequence
from hashlib import blake2b
from json import JSONEncoder
from json.encoder import encode_basestring_ascii as _quote

MAX_LINE = 16 * 1024
KEY_CHARS = 4096
TEXT_CHARS = 512
WORD_CHARS = 128

# Bytes between the quotes, after escaping: their sum stays below MAX_LINE for every kind of line.
_KEY_ROOM, _TEXT_ROOM, _WORD_ROOM = 8192, 3072, 256
_quoted_list = JSONEncoder(separators=(",", ":")).encode
# A character becomes 12 bytes at most, so that up to here nothing needs to be measured.
KEY_SURELY_FITS = _KEY_ROOM // 12


def stored_key(key: str) -> str:
    """The form that `key` has in the ledger: itself, unless it is very long. Applying this twice changes nothing.

    The odd case: a high and a low surrogate that stand side by side are one character in JSON, so they are here.
    """
    if not key.isascii():
        key = key.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    if len(key) <= KEY_CHARS and _fits(key, _KEY_ROOM):
        return key
    suffix = "~" + blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    # What follows the head must not join with it either.
    return _longest_head(key[: KEY_CHARS - len(suffix)], _KEY_ROOM - len(suffix)) + suffix


def stored_keys(keys: list[str]) -> list[str]:
    """The same for many keys."""
    if len(max(keys, key=len, default="")) <= KEY_SURELY_FITS and "".join(keys).isascii():
        return keys
    return [*map(stored_key, keys)]


def _fits(text: str, room: int) -> bool:
    return len(text) * 12 <= room or len(_quote(text)) - 2 <= room


def _longest_head(text: str, room: int) -> str:
    if _fits(text, room):
        return text
    fits, too_long = 0, len(text) + 1
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if _fits(text[:middle], room):
            fits = middle
        else:
            too_long = middle
    return text[:fits]


def quoted_key(key: str) -> str:
    """The stored form of a key as JSON."""
    return _quote(key if len(key) <= KEY_SURELY_FITS else stored_key(key))


def quoted_keys(keys: Sequence[str]) -> str:
    """The stored forms of keys as a list in JSON."""
    if len(max(keys, key=len, default="")) <= KEY_SURELY_FITS:
        return _quoted_list(keys)
    return f"[{','.join(map(quoted_key, keys))}]"


def length_of_quoted_keys(keys: Sequence[str]) -> int:
    """How long `quoted_keys` is. Of keys in which nothing has to be escaped that can be told without it."""
    text = "".join(keys)
    is_plain = (
        len(max(keys, key=len, default="")) <= KEY_SURELY_FITS and text.isascii() and text.isprintable()
    )
    if not is_plain:
        return len(quoted_keys(keys))
    return len(text) + text.count('"') + text.count("\\") + 3 * len(keys) + 1


def quoted_text(text: str) -> str:
    """A message as JSON; its end is lost where it is too long."""
    return _quote(_longest_head(text[:TEXT_CHARS], _TEXT_ROOM))


def quoted_word(word: str) -> str:
    """A name, a code or a digest as JSON, cut where it is too long to be one."""
    return _quote(_longest_head(word[:WORD_CHARS], _WORD_ROOM))

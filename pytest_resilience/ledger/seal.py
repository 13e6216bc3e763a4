"""Which lines were written by somebody who knows the key: what a ledger that others could write to is believed by.

Each line bears a code of its own, because a job that is killed has no end at which it could sign a file.
"""

import os
from binascii import b2a_base64
from collections.abc import Mapping
from hashlib import blake2b

VARIABLE = "RESILIENCE_LEDGER_KEY"
LEAST_BYTES = 16
# 128 bits in base64, without the padding.
CODE_CHARS = 22


class WeakKey(ValueError):
    """The key can be guessed."""


def secret_in(environ: Mapping[str, str]) -> bytes | None:
    """The key of the ledger, None where there is none. WeakKey for one that is too short.

    An empty one is none: that is what CI services put in the place of a secret that they do not give to a job.
    """
    secret = os.fsencode(environ.get(VARIABLE, ""))
    if secret and len(secret) < LEAST_BYTES:
        raise WeakKey(f"{VARIABLE} has {len(secret)} bytes; expected {LEAST_BYTES} or more")
    return secret or None


class Seal:
    """Signs what belongs to one run, and knows again what was signed: keyed BLAKE2b of 128 bits."""

    __slots__ = ("_keyed",)

    def __init__(self, key: bytes) -> None:
        self._keyed = blake2b(key=key, digest_size=16)

    @classmethod
    def of(cls, secret: bytes, run_id: str, nonce: str) -> "Seal":
        """The seal of a run. Its key is derived from all three, so that no line counts in another run."""
        # The secret may be longer than the key of a hash can be.
        whole = blake2b(secret, person=b"resilience").digest()
        return cls(blake2b(f"{run_id} {nonce}".encode("utf-8", "surrogatepass"), key=whole).digest())

    def sign(self, body: bytes) -> str:
        """The code of `body`, as `CODE_CHARS` characters."""
        signed = self._keyed.copy()
        signed.update(body)
        return str(b2a_base64(signed.digest(), newline=False)[:CODE_CHARS], "ascii")

    def holds(self, body: bytes, code: str) -> bool:
        """Whether `code` is the one that `sign` made of `body`."""
        # Most sessions have no key, and the module makes tables when it is imported.
        from hmac import compare_digest

        return compare_digest(self.sign(body).encode("ascii"), code.encode("utf-8", "surrogatepass"))

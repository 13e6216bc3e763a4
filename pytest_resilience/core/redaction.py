"""What in a text is a secret: by the shape of well-known tokens, by its value, by a pattern, or because somebody says so."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from itertools import islice

MARK = "***"

# Below this a value stands in too many texts by chance.
SHORTEST_VALUE = 8
# What is made of letters alone and shorter than this is a word, such as "postgres" or "local-password".
SHORTEST_PHRASE = 16
_KEYS_AT_ONCE = 500
# So many of the secrets in a text are looked for again in it: no text takes long.
_MOST_AGAIN = 50

_SECRET_NAME = (
    r"token|secret|password|passwd|passphrase|credential|authorization|_(?:pass|pwd)$"
    r"|(?:api|auth|private|access|account|signing|encryption|master|ssh|gpg|hmac|ledger)_?key"
)
# What there is in every such name. PWD, which is in every environment, has none of it.
_IN_SECRET_NAMES = (
    "token",
    "secret",
    "passw",
    "passphrase",
    "_pass",
    "_pwd",
    "credential",
    "authorization",
    "key",
)
# What such a name speaks of where it ends like this: not the secret, but where it is, or until when it holds.
_ABOUT_A_SECRET = (
    "_(?:file|path|dir|directory|sock|socket|name|user|username|type|ttl|at|in|url|uri|host|port"
    "|length|size|count|enabled|algorithm)$"
)
_WORDS = r"[^\W\d_]+(?:[-_. ][^\W\d_]+)*"

# What a shape needs somewhere, in small letters, and the shape. Looking for the former is quick, and all that happens to
# most texts. Nothing is repeated within what is repeated: no text takes long. A group is what stays.
# Not in the middle of a word; the n of a line end that was written as two characters is none.
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"
_KEY_IDS = rf"{_START}(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{{16}}(?![A-Za-z0-9])"
_GITLAB = r"gl(?:pat|ptt|dt|rt|cbt|ft|soat|imt|agent|oas)-[A-Za-z0-9_-]{20,}"
_SLACK = r"xox[a-z]-[A-Za-z0-9-]{10,}"
_STRIPE = rf"{_START}[rs]k_(?:live|test)_[A-Za-z0-9]{{16,}}"
_END = r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"

_VALUE = r"""[^\s'"\\,;&)\]}<>]"""
# What is escaped several times has a backslash for each, and one for each of these.
_QUOTED = r"""\\{0,8}"[^"\n]+"|\\{0,8}'[^'\n]+'"""
_IS = r"""\\{0,8}["']?[ ]{0,4}(?:=(?!=)|:(?![:/]))[ ]{0,4}(?!(?:None|True|False|null|true|false)\b)"""
_PASSWORD = rf"((?i:password|passwd|passphrase|secret|credentials?){_IS})(?:{_QUOTED}|{_VALUE}{{6,}})"
# Tokens are words of grammars too; those that are secrets have a digit.
_TOKEN = (
    rf"((?i:token|(?:api|access|private|account|secret)[_-]?key){_IS})"
    rf"(?=\\{{0,8}}[\"']?{_VALUE}{{0,256}}[0-9])(?:{_QUOTED}|{_VALUE}{{6,}})"
)

_SHAPES = (
    *((start, _KEY_IDS) for start in ("akia", "asia", "abia", "acca")),
    *((f"gh{kind}_", rf"gh{kind}_[A-Za-z0-9]{{36,255}}") for kind in "opsur"),
    ("github_pat_", r"github_pat_[A-Za-z0-9_]{22,255}"),
    ("gl", _GITLAB),
    ("xox", _SLACK),
    ("xapp-", r"xapp-[0-9]-[A-Za-z0-9-]{10,}"),
    ("hooks.slack.com", r"(hooks\.slack\.com/services/)[A-Za-z0-9/]{20,}"),
    ("k_live_", _STRIPE),
    ("k_test_", _STRIPE),
    ("whsec_", r"whsec_[A-Za-z0-9+/=]{24,}"),
    ("aiza", r"AIza[A-Za-z0-9_-]{35}"),
    ("ya29.", r"ya29\.[A-Za-z0-9_-]{20,}"),
    ("gocspx-", r"GOCSPX-[A-Za-z0-9_-]{20,}"),
    ("sk-", rf"{_START}sk-(?:proj-|ant-)?[A-Za-z0-9_-]{{32,}}"),
    ("npm_", r"npm_[A-Za-z0-9]{36}"),
    ("pypi-", r"pypi-AgE[A-Za-z0-9_-]{20,}"),
    ("sg.", rf"{_START}SG\.[A-Za-z0-9_-]{{16,}}\.[A-Za-z0-9_-]{{16,}}"),
    ("eyj", r"eyJ[A-Za-z0-9_-]{8,1000}\.eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"),
    ("private key", rf"-----BEGIN [A-Z0-9 ]{{0,40}}PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:{_END}|\Z)"),
    ("bearer", r"(\b(?i:bearer) {1,4})(?=[^\s]{0,64}[0-9]|[^\s]{16})[A-Za-z0-9_.~+/=-]{8,}"),
    (
        "authorization",
        r"""((?i:authorization)["']?[:=] {0,4}["']?(?i:basic|digest|token) {1,4})[^\s'"]{4,}""",
    ),
    ("://", r"""(://[^\s/:@?#'"]{0,128}:)[^\s/@'"]{1,256}(?=@)"""),
    *((word, _PASSWORD) for word in ("password", "passwd", "passphrase", "secret", "credential")),
    *((word, _TOKEN) for word in ("token", "key")),
)


_WORDS_OF_SHAPES = tuple(dict.fromkeys(word for word, _ in _SHAPES))

# Only what is needed: most sessions come across none of them, and to compile one takes as long as to run several tests.
_pattern = cache(re.compile)


def is_redacted(key: str) -> bool:
    """Whether something was taken out of a key: then it does not say which test it is."""
    return MARK in key


def is_secret_name(name: str) -> bool:
    """Whether the variable or option of this name looks like one whose value is a secret."""
    small = name.lower()
    if not any(word in small for word in _IN_SECRET_NAMES):
        return False
    return re.search(_SECRET_NAME, small) is not None and re.search(_ABOUT_A_SECRET, small) is None


def secret_values(environ: Mapping[str, str], is_path: Callable[[str], bool]) -> Iterator[str]:
    """The values of the environment variables whose names look secret.

    Left out are values of less than 8 characters, words, of which other texts are full, and existing paths. Of a
    value with several lines each line is one too.
    """
    for name, value in environ.items():
        if is_secret_name(name) and not is_path(value):
            lines = value.split("\n")
            yield from filter(_is_telling, lines if len(lines) == 1 else [value, *map(str.strip, lines)])


def _is_telling(value: str) -> bool:
    if len(value) < SHORTEST_VALUE or not value.strip("*"):
        return False
    return len(value) >= SHORTEST_PHRASE or re.fullmatch(_WORDS, value) is None


class Redactor:
    """Takes secrets out of texts: the shapes of tokens, these values, what matches these regular expressions.

    `ask`, where there is one, is given each text after that, and gives it back without what else is secret in it, or
    None to drop the text; that is left out as long as not `is_asked`. What is found becomes `MARK`; of a text that was redacted nothing is found any more.
    `count` is how many texts were redacted by `counted`.
    """

    def __init__(
        self,
        values: Iterable[str] = (),
        patterns: Iterable[str] = (),
        ask: Callable[[str], str | None] | None = None,
        is_asked: Callable[[], bool] = lambda: True,
    ) -> None:
        forms = {form for value in values for form in _forms(value)}
        # The longest first: one may be the beginning of another.
        self._values = _longest_first(forms)
        self._patterns = [re.compile(one) for one in patterns]
        self._ask = ask
        self._is_asked = is_asked
        self._clean: set[str] = set()
        # Whether a key is known to hold no secret. Asked for every line that is written.
        self.is_clean = self._clean.__contains__
        self.count = 0

    def text(self, text: str) -> str:
        """The text without secrets."""
        text = self._searched(text)
        ask = self._ask
        return text if ask is None or not self._is_asked() or _is_bare(text) else self._asked(text, ask)

    def counted(self, text: str) -> str:
        """The text without secrets, to be told of if there were any."""
        clean = self.text(text)
        self.count += clean != text
        return clean

    def key(self, key: str) -> str:
        """The key without secrets; a look-up for one that came out of here or was vouched for."""
        if key in self._clean:
            return key
        clean = self.text(key)
        self._clean.add(clean)
        return clean

    def keys(self, keys: Iterable[str]) -> list[str]:
        """Many keys without secrets, in their order: what is in none of several is not looked for in each."""
        rest, clean = iter(keys), []
        while some := list(islice(rest, _KEYS_AT_ONCE)):
            words = self._words_in("\n".join(some))
            if words == []:
                self._clean.update(some)
                clean += some
                continue
            for key in some:
                small = key.lower() if words else ""
                if words is None or any(word in small for word in words):
                    clean.append(self.key(key))
                else:
                    self._clean.add(key)
                    clean.append(key)
        return clean

    def _words_in(self, text: str) -> list[str] | None:
        """What secrets in a part of the text need there, in small letters; None where that cannot be said."""
        is_asked = self._ask is not None and self._is_asked()
        if is_asked or self._patterns or any(value in text for value in self._values):
            return None
        small = text.lower()
        return list(filter(small.__contains__, _WORDS_OF_SHAPES))

    def vouch(self, keys: Iterable[str]) -> None:
        """Take keys for redacted, because they were made of redacted ids: what comes after that, comes often."""
        self._clean.update(keys)

    def are_clean(self, keys: Iterable[str]) -> bool:
        """Whether all the keys are known to hold no secret."""
        return self._clean.issuperset(keys)

    def _searched(self, text: str) -> str:
        # Again until nothing is found: what was taken out may have parted what is now a match. Each time there are
        # fewer characters that are no stars.
        while (clean := self._searched_once(text)) != text:
            text = clean
        return text

    def _searched_once(self, text: str) -> str:
        for value in self._values:
            if value in text:
                text = text.replace(value, MARK)
        small = text.lower()
        if any(map(small.__contains__, _WORDS_OF_SHAPES)):
            found: set[str] = set()
            for word, shape in _SHAPES:
                if word in small:
                    text = _pattern(shape).sub(partial(_marked, found), text)
            # What a secret was known by need not stand before it again: pytest abbreviates what it compares.
            for secret in _longest_first(filter(_is_telling, found))[:_MOST_AGAIN]:
                text = text.replace(secret, MARK)
        for pattern in self._patterns:
            text = pattern.sub(_marked_whole, text)
        return text

    def _asked(self, text: str, ask: Callable[[str], str | None]) -> str:
        answer = ask(text)
        if answer is None:
            return MARK
        answer = self._searched(answer)
        # Other processes are asked again: only an answer that is its own answer is the same everywhere.
        if answer == text or _is_bare(answer) or (is_redacted(answer) and ask(answer) == answer):
            return answer
        return MARK


def _is_bare(text: str) -> bool:
    """Whether nothing is left of a text but the mark, and of a key the number that it has as one of several."""
    return text.startswith(MARK) and re.fullmatch(r"\*{3}(?: #\d+)?", text) is not None


def _longest_first(texts: Iterable[str]) -> list[str]:
    return sorted(texts, key=lambda text: (-len(text), text))


def _forms(value: str) -> set[str]:
    """A value as it is, as `repr` shows it, and as pytest writes it into ids."""
    return {value, repr(value)[1:-1], value.encode("unicode_escape").decode("ascii")}


def _marked(found: set[str], match: re.Match[str]) -> str:
    kept: str = match[match.lastindex] if match.lastindex else ""
    secret = match[0][len(kept) :]
    if not secret.strip("*"):
        return match[0]
    found.add(secret.strip("\\\"'"))
    return kept + MARK


def _marked_whole(match: re.Match[str]) -> str:
    # Nothing, and what is nothing but stars, is no secret; or this would never come to an end.
    return MARK if match[0].strip("*") else match[0]

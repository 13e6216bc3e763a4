"""What is known of a run when it begins: who, when, what, and which other runs it is comparable to."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pytest_resilience.ledger.disk import read_whole
from pytest_resilience.ledger.machine import Process
from pytest_resilience.ledger.seal import Seal

RUN = "run.json"
CARRY = "carry.jsonl"
TESTS = "tests.jsonl"
RUN_ID = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]{16}", re.ASCII)
MAX_RUN_JSON = 1024 * 1024

# Where tools tell a process which of several equal ones it is.
_ENVIRONMENTS = ("TOX_ENV_NAME", "NOX_CURRENT_SESSION")
_SHARDS = (
    "PYTEST_RESILIENCE_SHARD",
    "CI_NODE_INDEX",
    "CIRCLE_NODE_INDEX",
    "BUILDKITE_PARALLEL_JOB",
    "SYSTEM_JOBPOSITIONINPHASE",
)


_PARTS = ("rootdir", "environment", "shard", "Python", "platform")


class BadRun(ValueError):
    """Not the description of a run as one of us wrote it."""


def new_run_id(now: float, random: bytes) -> str:
    """The id of a run that begins at `now`; of `random` the first eight bytes are used."""
    moment = datetime.fromtimestamp(now, UTC)
    return f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}Z-{random[:8].hex().rjust(16, '0')}"


def run_id_after(newest: str, now: float, random: bytes) -> str:
    """The id of a run that begins at `now` and comes after the run `newest`, which a clock may have dated later.

    So ids tell which run is the newest, whatever clocks did. `newest` is empty when there is no run.
    """
    run_id = new_run_id(now, random)
    if newest and run_id.partition("-")[0] <= newest.partition("-")[0]:
        with suppress(ValueError, OverflowError):
            return new_run_id(began_at(newest) + 0.0015, random)
    return run_id


def began_at(run_id: str) -> float:
    """When the run of this id began, seconds since 1970. ValueError for what is no id."""
    if not RUN_ID.fullmatch(run_id):
        raise ValueError(f"not the id of a run: {run_id!r}")
    moment = datetime.fromisoformat(run_id[:15]).replace(tzinfo=UTC)
    return moment.timestamp() + int(run_id[15:18]) / 1000


def run_key(
    rootdir: str,
    environ: Mapping[str, str],
    version: Sequence[object] | str,
    platform: str,
    shard: str = "",
) -> str:
    """What runs have in common that may resume each other: a list in JSON, for people to read too.

    Two interpreters, two environments of tox or nox and two shards have keys of their own. `version` is that of
    Python, of which the first two parts count; `shard` is what options say of it, beside the environment.
    """
    parts = version.split(".") if isinstance(version, str) else version
    environment = next((f"{name}={environ[name]}" for name in _ENVIRONMENTS if environ.get(name)), "")
    node = next((f"{name}={environ[name]}" for name in _SHARDS if environ.get(name)), "")
    shard = " ".join(part for part in (node, shard) if part)
    minor = ".".join(str(part) for part in parts[:2])
    return json.dumps([rootdir, environment, shard, minor, platform])


# Whether the description bears a code at all, and whether it holds under the key that it was read with.
Signature = Literal["none", "unproven", "proven"]


def differences(then: str, today: str) -> list[str]:
    """In which parts two keys differ, in words; empty when they are equal, or one is not made as ours are."""
    try:
        pairs = list(zip(_PARTS, json.loads(then), json.loads(today), strict=True))
    except (ValueError, TypeError, RecursionError):
        return []
    return [f"{part} was {a or 'none'} and is {b or 'none'}" for part, a, b in pairs if a != b]


class RunInfo(NamedTuple):
    """A run as it began. What others added to its file is ignored; `inherited` tells how long carry.jsonl is."""

    id: str
    key: str
    rootdir: str
    invocation_dir: str = ""
    args: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    keyword: str = ""
    markexpr: str = ""
    parent: str = ""
    started: float = 0.0
    pid: int = 0
    start: str = ""
    host: str = ""
    boot: str = ""
    nonce: str = ""
    versions: Mapping[str, str] = {}
    inherited: int = 0
    run_key: str = ""
    signature: Signature = "none"

    @property
    def process(self) -> Process:
        """The process that owns the run."""
        return Process(pid=self.pid, start=self.start, host=self.host, boot=self.boot)

    def to_json(self, seal: Seal | None = None) -> str:
        """One line, in the order of the members; with a seal, signed."""
        members = self._asdict()
        del members["signature"]
        if seal is not None:
            members["h"] = seal.sign(_body(members))
        return json.dumps(members) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, secret: bytes | None = None) -> "RunInfo":
        """The run that `text` describes. BadRun for everything else, whatever it is."""
        try:
            members = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadRun("not JSON") from error
        if type(members) is not dict:
            raise BadRun("not an object")
        info = cls(
            id=_str(members, "id"),
            key=_str(members, "key"),
            rootdir=_str(members, "rootdir"),
            invocation_dir=_str(members, "invocation_dir", ""),
            args=_strings(members, "args"),
            paths=_strings(members, "paths"),
            keyword=_str(members, "keyword", ""),
            markexpr=_str(members, "markexpr", ""),
            parent=_str(members, "parent", ""),
            started=_number(members, "started"),
            pid=_int(members, "pid"),
            start=_str(members, "start", ""),
            host=_str(members, "host", ""),
            boot=_str(members, "boot", ""),
            nonce=_str(members, "nonce", ""),
            versions=_words(members, "versions"),
            inherited=_int(members, "inherited"),
            run_key=_str(members, "run_key", ""),
        )
        if not RUN_ID.fullmatch(info.id) or (info.parent and not RUN_ID.fullmatch(info.parent)):
            raise BadRun("not the id of a run")
        if "h" not in members:
            return info
        is_proven = secret is not None and _is_signed(members, Seal.of(secret, info.id, info.nonce))
        return info._replace(signature="proven" if is_proven else "unproven")

    @classmethod
    def read(cls, folder: Path, secret: bytes | None = None) -> "RunInfo":
        """The run whose folder this is. OSError or BadRun when that cannot be known."""
        return cls.from_json(read_whole(folder / RUN, MAX_RUN_JSON), secret)


_Members = dict[str, Any]


def _body(members: _Members) -> bytes:
    return json.dumps(members).encode("ascii")


def _is_signed(members: _Members, seal: Seal) -> bool:
    """Whether the members, those included that only newer releases know, are what was signed."""
    with suppress(RecursionError):
        rest = {name: value for name, value in members.items() if name != "h"}
        return type(members["h"]) is str and seal.holds(_body(rest), members["h"])
    return False


def _str(members: _Members, name: str, default: str | None = None) -> str:
    value = members.get(name, default)
    if type(value) is not str:
        raise BadRun(f"not a text: {name}")
    return value


def _strings(members: _Members, name: str) -> tuple[str, ...]:
    values = members.get(name, [])
    if type(values) is not list or any(type(value) is not str for value in values):
        raise BadRun(f"not a list of texts: {name}")
    return tuple(values)


def _words(members: _Members, name: str) -> dict[str, str]:
    values = members.get(name, {})
    if type(values) is not dict or any(type(value) is not str for value in values.values()):
        raise BadRun(f"not texts by name: {name}")
    return values


def _number(members: _Members, name: str) -> float:
    value = members.get(name, 0.0)
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is int and abs(value) < 2**53:
        return float(value)
    raise BadRun(f"not a number: {name}")


def _int(members: _Members, name: str) -> int:
    value = members.get(name, 0)
    if type(value) is not int or not 0 <= value < 2**53:
        raise BadRun(f"not a number of things: {name}")
    return value

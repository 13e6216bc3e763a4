"""What the key proves: whatever is done to signed files by somebody who does not know it, no test counts as good for it."""

import json
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.facts import (
    AttemptEnded,
    AttemptStarted,
    Fact,
    Fate,
    FileCollected,
    RunEnded,
    SegmentOpened,
    SelectionDone,
    TestFinished,
    TestInherited,
    TestsSelected,
)
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.whole import by_file, collection_digest
from pytest_resilience.history import load, plan_from
from pytest_resilience.ledger import machine
from pytest_resilience.ledger.contents import Contents
from pytest_resilience.ledger.lines import BadLine, decode, encode, encode_all
from pytest_resilience.ledger.reading import facts_of, read
from pytest_resilience.ledger.runinfo import CARRY, TESTS
from pytest_resilience.ledger.runs import RunFolder, RunInfo, Store, new_run_id
from pytest_resilience.ledger.seal import LEAST_BYTES, VARIABLE, Seal, WeakKey, secret_in
from pytest_resilience.ledger.segments import Segment

SECRET = b"a secret of this ledger"
OTHER = b"a secret of somebody else"
RUN = new_run_id(1769000000.0, bytes(8))
SEAL = Seal.of(SECRET, RUN, "nonce")
TAIL = len(b',"c":"00000000"}\n')
PASSED = TestFinished(key="test", outcome=Outcome.PASSED)
PARTS = st.tuples(st.binary(min_size=1), st.text(), st.text())


def info(run_id: str = RUN, **others: str) -> RunInfo:
    return RunInfo(id=run_id, key="k", rootdir="/r", **{"nonce": "nonce", **others})  # type: ignore[arg-type]


# ---- the key


@pytest.mark.parametrize("value", [None, ""])
def test_no_key_and_an_empty_one_are_none(value: str | None) -> None:
    assert secret_in({} if value is None else {VARIABLE: value}) is None


def test_a_key_that_can_be_guessed_is_refused_and_not_shown() -> None:
    with pytest.raises(WeakKey, match="has 15 bytes; expected 16 or more") as refused:
        secret_in({VARIABLE: "s" * (LEAST_BYTES - 1)})
    assert "sss" not in str(refused.value)
    assert secret_in({VARIABLE: "é" * (LEAST_BYTES // 2)}) == ("é" * (LEAST_BYTES // 2)).encode()


@given(PARTS, PARTS, st.binary(), st.binary())
def test_a_code_holds_for_one_secret_one_run_and_one_body(
    ours: tuple[bytes, str, str], theirs: tuple[bytes, str, str], body: bytes, other: bytes
) -> None:
    seal = Seal.of(ours[0], RUN + ours[1], ours[2])
    code = seal.sign(body)
    assert seal.holds(body, code)
    assert seal.holds(other, code) == (other == body)
    # The id of a run has always the same length and no space, so what is joined stays apart.
    assert Seal.of(theirs[0], RUN, theirs[2]).holds(body, Seal.of(ours[0], RUN, ours[2]).sign(body)) == (
        (theirs[0], theirs[2]) == (ours[0], ours[2])
    )
    assert not Seal.of(ours[0], new_run_id(0.0, bytes(8)), ours[2]).holds(
        body, Seal.of(ours[0], RUN, ours[2]).sign(body)
    )


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_what_is_no_code_does_not_hold(code: str) -> None:
    assert not SEAL.holds(b"body", code)


# ---- a line


def resealed(body: bytes) -> bytes:
    """A line with a checksum that holds, which needs no key."""
    return b'%b,"c":"%08x"}\n' % (body, crc32(body))


def signed(fact: Fact = PASSED, writer: str = "w", seal: Seal = SEAL) -> bytes:
    return encode(fact, writer=writer, seq=1, at=0.0, seal=seal)


def test_a_signed_line_is_believed_with_the_seal_and_without() -> None:
    line = signed()
    assert decode(line, SEAL) == decode(line) == decode(encode(PASSED, writer="w", seq=1, at=0.0))
    assert json.loads(line).keys() == {"k", "w", "s", "t", "id", "o", "n", "d", "h", "c"}


def test_a_signature_costs_29_bytes_and_no_signature_none() -> None:
    assert len(signed()) == len(encode(PASSED, writer="w", seq=1, at=0.0)) + 29


@pytest.mark.parametrize(
    "line",
    [
        encode(PASSED, writer="w", seq=1, at=0.0),
        signed(seal=Seal.of(OTHER, RUN, "nonce")),
        signed(seal=Seal.of(SECRET, RUN, "other")),
        signed(seal=Seal.of(SECRET, new_run_id(0.0, bytes(8)), "nonce")),
        resealed(signed(PASSED._replace(outcome=Outcome.FAILED))[:-TAIL].replace(b"failed", b"passed")),
        resealed(signed()[:-TAIL].replace(b',"h":', b',"g":')),
        resealed(signed()[:-TAIL].replace(b',"h":', b',"h": ')),
    ],
)
def test_a_line_that_our_key_did_not_sign_is_refused(line: bytes) -> None:
    assert decode(line).fact == PASSED
    with pytest.raises(BadLine, match="not signed with our key"):
        decode(line, SEAL)


@given(st.data())
def test_no_change_of_a_signed_line_is_believed_though_its_checksum_holds(data: st.DataObject) -> None:
    body = signed()[:-TAIL]
    at = data.draw(st.integers(0, len(body)))
    changed = body[:at] + data.draw(st.binary(max_size=40)) + body[data.draw(st.integers(at, len(body))) :]
    line = resealed(changed)
    if changed == body:
        assert decode(line, SEAL).fact == PASSED
    else:
        with pytest.raises(BadLine):
            decode(line, SEAL)


# ---- the description of a run


def test_the_description_of_a_run_shows_whether_it_is_signed() -> None:
    text = info().to_json(SEAL)
    assert RunInfo.from_json(info().to_json(), SECRET).signature == "none"
    assert RunInfo.from_json(text).signature == "unproven"
    assert RunInfo.from_json(text, OTHER).signature == "unproven"
    assert RunInfo.from_json(text, SECRET).signature == "proven"
    for secret in (None, OTHER, SECRET):
        assert RunInfo.from_json(text, secret)._replace(signature="none") == info()


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())


@given(st.dictionaries(st.sampled_from([*json.loads(info().to_json(SEAL)), "later"]), VALUES, min_size=1))
def test_a_changed_description_is_unproven_or_none_at_all(changes: dict[str, object]) -> None:
    members = json.loads(info().to_json(SEAL))
    try:
        read_again = RunInfo.from_json(json.dumps({**members, **changes}), SECRET)
    except ValueError:
        return
    is_same = json.dumps({**members, **changes}) == json.dumps(members)
    assert read_again.signature == ("proven" if is_same else "unproven")


def test_what_a_newer_release_added_to_a_run_is_signed_too() -> None:
    members = {**json.loads(info().to_json()), "later": [1]}
    members["h"] = SEAL.sign(json.dumps(members).encode())
    assert RunInfo.from_json(json.dumps(members), SECRET).signature == "proven"


# ---- a store


@pytest.mark.parametrize(
    ("signs", "reads", "host", "trusted"),
    [
        (None, None, machine.host(), True),
        (None, None, "elsewhere", False),
        (None, SECRET, machine.host(), False),
        (SECRET, None, machine.host(), True),
        (SECRET, None, "elsewhere", False),
        (SECRET, SECRET, "elsewhere", True),
        (OTHER, SECRET, machine.host(), False),
    ],
)
def test_a_run_is_trusted_by_its_signature_or_else_by_its_machine(
    tmp_path: Path, signs: bytes | None, reads: bytes | None, host: str, trusted: bool
) -> None:
    Store(tmp_path / "store", secret=signs).create(info(host=host)).release()
    store = Store(tmp_path / "store", secret=reads)
    assert [store.trusts(one) for one in store.runs()] == [trusted]


def test_all_files_of_a_run_are_signed_and_none_holds_the_key(tmp_path: Path) -> None:
    folder = Store(tmp_path / "store", secret=SECRET).create(
        info(), [TestInherited(key="before", outcome=Outcome.PASSED, run=RUN)]
    )
    folder.write_selection([TestsSelected(keys=("test",))], SelectionDone(total=1))
    segment = Segment.create(folder.path, "w", run=RUN, trouble=print, seal=folder.seal)
    segment.write(PASSED)
    segment.close()
    reading = read(folder.path, SEAL)
    kinds = [type(record.fact) for record in reading.records]
    assert kinds == [TestInherited, TestsSelected, SelectionDone, SegmentOpened, TestFinished]
    assert reading.problems == []
    assert not any(SECRET in file.read_bytes() for file in folder.path.iterdir())
    assert list(facts_of(folder.path, Seal.of(OTHER, RUN, "nonce"))) == []


def test_a_worker_without_the_key_of_a_signed_run_does_not_join_it(tmp_path: Path) -> None:
    made = info(host=machine.host(), boot=machine.boot())
    path = Store(tmp_path / "store", secret=SECRET).create(made).path
    assert RunFolder.join(path, "nonce") is None
    assert RunFolder.join(path, "nonce", OTHER) is None
    joined = RunFolder.join(path, "nonce", SECRET)
    assert joined is not None
    assert joined.seal is not None
    assert joined.seal.holds(b"body", SEAL.sign(b"body"))


def test_a_worker_of_a_run_that_is_not_signed_does_not_sign_either(tmp_path: Path) -> None:
    path = Store(tmp_path / "store").create(info(host=machine.host(), boot=machine.boot())).path
    joined = RunFolder.join(path, "nonce", SECRET)
    assert joined is not None
    assert joined.seal is None


# ---- whoever does not know the key

# A test comes to its end once in a run; with two copies, once on each worker.
WRITERS = ("gw0.1.00000000", "gw1.2.00000000")
ENDS: dict[str, list[AttemptEnded | AttemptStarted | TestFinished]] = {
    "passes": [TestFinished(key="", outcome=Outcome.PASSED)],
    "skips": [TestFinished(key="", outcome=Outcome.SKIPPED)],
    "fails": [
        AttemptEnded(key="", attempt=1, outcome=Outcome.FAILED),
        TestFinished(key="", outcome=Outcome.FAILED),
    ],
    "flaky": [
        AttemptEnded(key="", attempt=1, outcome=Outcome.FAILED),
        AttemptStarted(key="", attempt=2),
        TestFinished(key="", outcome=Outcome.PASSED, attempts=2),
    ],
    "hangs": [],
}
FATES: dict[str, Fate] = {"carried": "carried", "held": "held", "gone": "gone"}
Files = dict[str, list[bytes]]


def files_of(
    suite: dict[str, str], whole: Collection[str], *, copies: int, ended: bool, seal: Seal | None
) -> Files:
    """The files of a run in which each test does what `suite` says; the `whole` files were collected as such."""
    inherited = [
        TestInherited(key=key, outcome=Outcome.PASSED if does == "carried" else Outcome.NOT_RUN, run="r")
        for key, does in suite.items()
        if does in (*FATES, "stale")
    ]
    carried = [one._replace(digest="d") for one in inherited]
    selection: list[Fact] = [
        TestsSelected(keys=(key,), fate=FATES.get(does, "run"), digest="d") for key, does in suite.items()
    ]
    files = by_file(key for key, does in suite.items() if does != "gone")
    selection += [
        FileCollected(file=file, digest=collection_digest("how", "d", files.get(file, ()))) for file in whole
    ]
    selection.append(SelectionDone(total=sum(does != "gone" for does in suite.values()), copies=copies))
    facts: dict[str, list[Fact]] = {CARRY: [*carried], TESTS: selection}
    for writer in WRITERS:
        facts[f"seg-{writer}.jsonl"] = [SegmentOpened(run=RUN, writer=writer, pid=1)]
    for at, (key, does) in enumerate(suite.items()):
        for writer in WRITERS if copies == 2 else WRITERS[at % 2 : at % 2 + 1]:
            if does in ENDS:
                begun: list[Fact] = [AttemptStarted(key=key, attempt=1)]
                ends = [one._replace(key=key) for one in ENDS[does]]
                facts[f"seg-{writer}.jsonl"] += [*begun, *ends]
    if ended:
        facts[f"seg-{WRITERS[0]}.jsonl"].append(RunEnded(exit_status=1))
    return {
        name: list(encode_all(some, writer=_writer(name), at=0.0, seal=seal)) for name, some in facts.items()
    }


def _writer(name: str) -> str:
    return name.removeprefix("seg-").removesuffix(".jsonl")


class Unchanged(Contents):
    """Files that are what they were."""

    def digest(self, file: str) -> str:
        return "d"


def skipped_by(files: Files, seal: Seal | None) -> frozenset[str]:
    """What a resume of the run with these files would not run, or not even import: tests and files."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        (path / "run.json").write_text(info().to_json(seal))
        for file, lines in files.items():
            (path / file).write_bytes(b"".join(lines))
        past = load(RunFolder(path, info(), seal=seal))
        made = plan_from(past, Unchanged(path), how="how", may_skip=True)
        return made.carried | made.unimported


def forged(line: bytes) -> Iterator[bytes]:
    """The line as it would serve somebody who has no key: for another outcome, unsigned, or for another worker."""
    body = line[:-TAIL]
    for word in (b'"failed"', b'"not_run"', b'"held"', b'"gone"'):
        yield resealed(body.replace(word, b'"carried"' if word in (b'"held"', b'"gone"') else b'"passed"'))
    yield resealed(body[:-29].replace(b'"failed"', b'"passed"'))
    yield resealed(body.replace(b"gw0", b"gw2"))
    yield resealed(body.replace(b'"copies":2', b'"copies":1'))


KEYS = ["f::a", "f::b", "g::a", "g::b", "g::c"]
SUITES = st.dictionaries(
    st.sampled_from(KEYS),
    st.sampled_from([*ENDS, *FATES, "stale", "waits"]),
    min_size=1,
)
WHOLE = st.sets(st.sampled_from(["f", "g"]))


@pytest.mark.invariant(11)
@given(SUITES, WHOLE, st.sampled_from([1, 2]), st.booleans(), st.data())
def test_nothing_that_is_done_without_the_key_makes_a_test_count_as_good(
    suite: dict[str, str], whole: set[str], copies: int, ended: bool, data: st.DataObject
) -> None:
    """Lines removed, repeated, moved, changed, made up, and taken from another run of the same key."""
    honest = files_of(suite, whole, copies=copies, ended=ended, seal=SEAL)
    elsewhere = Seal.of(SECRET, new_run_id(1.0, bytes(8)), "nonce")
    good, both = dict.fromkeys(KEYS, "passes"), ("f", "g")
    all_good = files_of(good, both, copies=1, ended=True, seal=elsewhere)
    own = [line for lines in honest.values() for line in lines]
    unsigned = files_of(good, both, copies=1, ended=True, seal=None)
    pool = own + [line for files in (all_good, unsigned) for lines in files.values() for line in lines]
    pool += [false for line in own for false in forged(line)]
    some = st.lists(st.sampled_from(pool), max_size=20)
    before = {**honest, "seg-gw2.3.00000000.jsonl": list[bytes]()}
    changed = {
        name: [line for line in lines if data.draw(st.booleans())] + data.draw(some)
        for name, lines in before.items()
    }
    assert skipped_by(changed, SEAL) <= skipped_by(honest, SEAL)


@pytest.mark.invariant(11)
@given(st.dictionaries(st.sampled_from(KEYS), st.sampled_from(["passes", "fails"])), WHOLE, st.data())
def test_one_line_without_the_key_makes_no_file_count_as_done(
    suite: dict[str, str], whole: set[str], data: st.DataObject
) -> None:
    """Damage anywhere makes every file be imported, so what is believed alone decides here."""
    honest = files_of(suite, whole, copies=1, ended=True, seal=SEAL)
    strangers = [None, Seal.of(SECRET, new_run_id(1.0, bytes(8)), "nonce"), Seal.of(OTHER, RUN, "nonce")]
    fact = FileCollected(file=data.draw(st.sampled_from(["f", "g"])), digest="")
    fact = fact._replace(digest=collection_digest("how", "d", [key for key in suite if key[0] == fact.file]))
    seal = data.draw(st.sampled_from(strangers))
    name = data.draw(st.sampled_from([TESTS, CARRY, *(f"seg-{writer}.jsonl" for writer in WRITERS)]))
    line = encode(fact, writer=_writer(name), seq=len(honest[name]), at=0.0, seal=seal)
    changed = {**honest, name: [*honest[name], line]}
    assert skipped_by(changed, SEAL) <= skipped_by(honest, SEAL)


@given(SUITES, WHOLE, st.sampled_from([1, 2]), st.booleans())
def test_a_signed_run_leaves_what_an_unsigned_one_leaves(
    suite: dict[str, str], whole: set[str], copies: int, ended: bool
) -> None:
    signed_files = files_of(suite, whole, copies=copies, ended=ended, seal=SEAL)
    plain_files = files_of(suite, whole, copies=copies, ended=ended, seal=None)
    good = {key for key, does in suite.items() if does in ("passes", "skips", "flaky", "carried")}
    files = by_file(key for key, does in suite.items() if does != "gone")
    done = {file for file in whole if good >= set(files.get(file, ()))}
    assert skipped_by(signed_files, SEAL) == skipped_by(plain_files, None) == good | done

"""``RESILIENCE_LEDGER_KEY``: a ledger that comes from elsewhere is believed only if it was signed with the same key."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import pytest

from pytest_resilience.ledger import machine
from pytest_resilience.ledger.reading import read
from pytest_resilience.ledger.runs import RunInfo, Store, new_run_id

from .harness import Batch, Result

SUITE = """
from steps import step
def test_a(): step("a")
def test_b(): step("b"); assert 0
"""
KEY = "0123456789abcdef-the-key"
ALL = {"passed": 1, "failed": 1}
CARRIED = {"carried_over": 1, "failed": 1}


@pytest.fixture
def batch(pytester: pytest.Pytester) -> Batch:
    return Batch(pytester, SUITE)


@pytest.fixture
def set_key(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    monkeypatch.delenv("RESILIENCE_LEDGER_KEY", raising=False)
    return lambda key: monkeypatch.setenv("RESILIENCE_LEDGER_KEY", key)


SetKey = Callable[[str], None]


def untrusted(run: Result) -> str:
    """What is said of a run that is not trusted, in one line; empty when nothing is."""
    return run.line("WARNING").removeprefix("RES407 ledger-untrusted: ") if "RES407" in run.text else ""


def edit(batch: Batch, **members: object) -> None:
    """Change the description of the newest run."""
    path = batch.newest.path / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **members}))


# -- with the key


def test_with_the_key_all_is_signed_and_a_resume_is_as_ever(batch: Batch, set_key: SetKey) -> None:
    set_key(KEY)
    assert batch.run().outcomes == ALL
    batch.forget()
    run = batch.run("--resume-failed")
    assert (run.outcomes, batch.steps, run.line("WARNING")) == (CARRIED, ["b"], "")
    store = Store(batch.store.root, secret=KEY.encode())
    for info in store.runs():
        folder = store.folder(info.id)
        reading = read(folder.path, folder.seal)
        assert (store.trusts(info), len(list(reading.records)) > 4, reading.problems) == (True, True, [])


def test_the_key_is_in_no_file_and_never_printed(batch: Batch, set_key: SetKey) -> None:
    set_key(KEY)
    text = batch.run("-vv").text + batch.run("--resume-failed", "-vv").text
    files = [path for path in batch.root.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert KEY not in text
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize("key", ["short", "0123456789abcde"])
def test_a_key_that_can_be_guessed_is_refused_and_not_printed(
    batch: Batch, set_key: SetKey, key: str
) -> None:
    set_key(key)
    run = batch.run()
    assert run.status == 4
    assert (
        f"RES701 config-invalid: RESILIENCE_LEDGER_KEY has {len(key)} bytes; expected 16 or more" in run.text
    )
    assert key not in run.text
    assert batch.steps == []


def test_an_empty_key_is_none(batch: Batch, set_key: SetKey) -> None:
    """A CI service gives it to a job that may not know the secret."""
    set_key("")
    assert batch.run().outcomes == ALL
    assert batch.runs[0].signature == "none"


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("", KEY, "was not signed, because it had no RESILIENCE_LEDGER_KEY"),
        ("another-key-0123456789", KEY, "was signed with another RESILIENCE_LEDGER_KEY, or changed since"),
    ],
)
@pytest.mark.parametrize("is_named", [False, True])
def test_with_the_key_a_run_that_it_did_not_sign_is_not_believed(
    batch: Batch, set_key: SetKey, first: str, second: str, why: str, is_named: bool
) -> None:
    """Not on the same machine either: who sets the key wants it."""
    set_key(first)
    batch.run()
    batch.forget()
    set_key(second)
    name = batch.runs[0].id
    run = batch.run(f"--resume-failed={name}" if is_named else "--resume-failed")
    assert (run.status, run.outcomes, sorted(batch.steps)) == (1, ALL, ["a", "b"])
    assert untrusted(run).startswith(f"run {name} {why}; everything runs. ")
    # The next one has a run that is signed.
    assert batch.run("--resume-failed").outcomes == CARRIED


def test_without_the_key_a_signed_run_of_this_machine_is_resumed(batch: Batch, set_key: SetKey) -> None:
    set_key(KEY)
    batch.run()
    set_key("")
    assert batch.run("--resume-failed").outcomes == CARRIED


@pytest.mark.parametrize("change", [{"host": "x"}, {"started": 1.0}, {"paths": ["."]}, {"nonce": "x"}])
def test_a_description_that_was_changed_is_not_believed(
    batch: Batch, set_key: SetKey, change: dict[str, object]
) -> None:
    set_key(KEY)
    batch.run()
    edit(batch, **change)
    batch.forget()
    run = batch.run("--resume-failed")
    assert (run.outcomes, sorted(batch.steps)) == (ALL, ["a", "b"])


def test_a_verdict_that_was_changed_is_damage(batch: Batch, set_key: SetKey) -> None:
    set_key(KEY)
    batch.run()
    segment = batch.segment()
    lines = segment.read_bytes().splitlines()
    (at,) = [at for at, line in enumerate(lines) if b'"k":"fin"' in line and b'"failed"' in line]
    body = lines[at].replace(b'"failed"', b'"passed"').rpartition(b',"c":')[0]
    lines[at] = b'%b,"c":"%08x"}' % (body, crc32(body))
    segment.write_bytes(b"\n".join(lines) + b"\n")
    assert batch.tests["test_b"] == "flaky", "it would be believed without the key"
    batch.forget()
    run = batch.run("--resume-failed")
    assert (run.outcomes, batch.steps) == (CARRIED, ["b"])
    assert "RES401 ledger-corrupt: " in run.text
    assert "not signed with our key" in run.text


def test_nobody_hides_a_run_behind_one_that_is_said_to_have_resumed_it(batch: Batch, set_key: SetKey) -> None:
    """Else an older run, in which a test was still good, would be taken for the newest."""
    set_key(KEY)
    batch.write({"test_it.py": SUITE.replace("assert 0", "pass")})
    batch.run()
    batch.write({"test_it.py": SUITE})
    batch.run()
    newest = batch.runs[-1]
    fake = newest._replace(id=new_run_id(newest.started + 60, os.urandom(8)), key="other", parent=newest.id)
    batch.store.create(fake).release()
    assert f"resuming run {newest.id.partition('-')[2][:4]}" in batch.run("--resume-failed").text


# -- from another machine


def is_from(batch: Batch, monkeypatch: pytest.MonkeyPatch, host: str, *args: str) -> Result:
    """A run on a machine of this name."""
    with monkeypatch.context() as patch:
        patch.setattr(machine, "host", lambda: host)
        return batch.run(*args)


@pytest.mark.parametrize("is_named", [False, True])
def test_without_the_key_nothing_is_taken_over_from_another_machine(
    batch: Batch, set_key: SetKey, monkeypatch: pytest.MonkeyPatch, is_named: bool
) -> None:
    is_from(batch, monkeypatch, "ci-7")
    batch.forget()
    name = batch.runs[0].id
    run = batch.run(f"--resume-failed={name}" if is_named else "--resume-failed")
    assert (run.status, run.outcomes, sorted(batch.steps)) == (1, ALL, ["a", "b"])
    said = untrusted(run)
    assert said.startswith(
        f"run {name} comes from another machine (ci-7), and there is no RESILIENCE_LEDGER_KEY"
    )
    assert said.endswith("Set RESILIENCE_LEDGER_KEY to the same secret in both jobs to resume from there")
    assert [info.parent for info in batch.runs] == ["", ""]
    # It can still be looked at, and is as it was.
    assert len(list(read(batch.store.folder(name).path).records)) > 4


def test_a_run_of_another_machine_does_not_make_way_for_an_older_one(
    batch: Batch, set_key: SetKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch.run()
    is_from(batch, monkeypatch, "ci-7")
    run = batch.run("--resume-failed")
    assert run.outcomes == ALL
    assert untrusted(run)


def test_with_the_key_a_run_of_another_machine_is_resumed(
    batch: Batch, set_key: SetKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_key(KEY)
    is_from(batch, monkeypatch, "ci-7")
    batch.forget()
    run = batch.run("--resume-failed")
    assert (run.outcomes, batch.steps, run.line("WARNING")) == (CARRIED, ["b"], "")
    assert [info.host for info in batch.runs] == ["ci-7", machine.host()]


# -- as an artifact


@contextmanager
def umask(mask: int):  # type: ignore[no-untyped-def]
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def through_zip(root: Path, mask: int) -> None:
    """Have the ledger packed and unpacked as artifacts are, which loses all permissions."""
    archive = shutil.make_archive(str(root / "artifact"), "zip", root, ".pytest_resilience")
    shutil.rmtree(root / ".pytest_resilience")
    with umask(mask), zipfile.ZipFile(archive) as packed:
        packed.extractall(root)


def test_an_artifact_that_lost_its_permissions_is_resumed(
    batch: Batch, set_key: SetKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_key(KEY)
    is_from(batch, monkeypatch, "ci-7")
    through_zip(batch.root, 0o022)
    assert batch.run("--resume-failed").outcomes == CARRIED


def test_an_artifact_that_a_group_may_write_to_is_refused_until_that_is_mended(
    batch: Batch, set_key: SetKey
) -> None:
    """So it is unpacked where the umask is 002, as for the users of some distributions."""
    set_key(KEY)
    batch.run()
    through_zip(batch.root, 0o002)
    run = batch.run("--resume-failed")
    assert run.outcomes == ALL
    assert "others may write to it" in run.text
    batch.type("chmod -R go-w .pytest_resilience")
    assert batch.run("--resume-failed").outcomes == CARRIED


def test_the_runs_of_a_store_can_be_read_whoever_wrote_them(batch: Batch, set_key: SetKey) -> None:
    set_key(KEY)
    batch.run()
    assert [type(info) for info in batch.runs] == [RunInfo]
    assert batch.tests == {"test_a": "passed", "test_b": "failed"}

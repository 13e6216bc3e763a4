"""The documentation says what the code says: its tables, headings, codes and examples are compared with the source."""

import ast
import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import Fact, TestFinished
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.vocabularies import OTHERS, OURS
from pytest_resilience.hooks.policies import marked
from pytest_resilience.ledger.lines import decode
from pytest_resilience.ledger.runinfo import RunInfo
from pytest_resilience.ledger.seal import Seal
from pytest_resilience.reports import plan, summary
from pytest_resilience.settings.options import OF_ERROR, OF_TEST, OPTIONS
from pytest_resilience.settings.resolved import resolve

from .plugin.harness import Batch

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]

FLAGS_ONLY = {
    "--resume-failed",
    "--resilience-resume-failed",
    "--resume-force",
    "--resilience-resume-force",
    "--run-key",
    "--resilience-run-key",
    "--resilience-explain",
}
FLAGS = (
    FLAGS_ONLY
    | {option.flag for option in OPTIONS if option.flag}
    | {option.long_flag for option in OPTIONS if option.flag}
)

each_page = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    page: Path
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.text[:40]!r}"


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    for language, text in re.findall(
        r"^```(\S*)\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
    ):
        yield Block(page, language, text)


def blocks_of(language: str) -> list[Block]:
    """All blocks of a language, of every page."""
    return [block for page in PAGES for block in blocks(page) if block.language == language]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def rows(page: Path, first: str) -> list[list[str]]:
    """The rows of all tables of a page whose first column has this heading, a cell without its backticks."""
    found: list[list[str]] = []
    is_inside = False
    for line in page.read_text("utf-8").splitlines():
        if not line.startswith("|"):
            is_inside = False
            continue
        cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
        if cells[0] == first:
            is_inside = True
        elif is_inside and set(cells[0]) - {"-"}:
            found.append([_bare(cell) for cell in cells])
    return found


def _bare(cell: str) -> str:
    return cell[1:-1] if re.fullmatch(r"`[^`]*`", cell) else cell


def as_toml(text: str) -> object:
    """The value that a default in a table stands for."""
    value = tomllib.loads(f"value = {text}")["value"]
    return tuple(value) if isinstance(value, list) else value


def headings(page: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)


# -- the tables ----------------------------------------------------------------------------------------------------


def test_every_option_has_its_row_in_the_reference() -> None:
    assert [row[:3] for row in rows(REFERENCE / "options.md", "Key")] == [
        [
            option.key,
            f"{option.flag} {option.metavar}".strip(),
            option.long_flag if option.flag else "",
        ]
        for option in OPTIONS
    ]


def test_every_option_has_its_row_in_the_readme() -> None:
    assert [row[:2] for row in rows(README, "Key")] == [
        [option.key, f"{option.flag} {option.metavar}".strip()] for option in OPTIONS
    ]


def test_defaults_in_the_tables_are_those_of_the_code() -> None:
    defaults = [(option.key, option.default) for option in OPTIONS]
    for page, column in ((REFERENCE / "options.md", 4), (README, 2)):
        shown = [(row[0], as_toml(row[column])) for row in rows(page, "Key")]
        assert shown == defaults
        assert [type(value) for _, value in shown] == [type(value) for _, value in defaults]


def test_the_values_that_the_reference_allows_are_allowed() -> None:
    """A row that lists words lists all of them; whether these are all is for the test of the settings."""
    for row in rows(REFERENCE / "options.md", "Key"):
        table, _, key = row[0].partition(".")
        for word in re.findall(r"`(\"[a-z]+\")`", row[3]):
            resolve({}, {table: {key: as_toml(word)}})


def test_flags_without_a_key_are_described() -> None:
    text = prose(REFERENCE / "options.md").partition("\n## Flag only\n")[2]
    assert all(f"`{flag}`" in text for flag in FLAGS_ONLY)


def test_every_argument_of_the_marker_has_its_row_with_its_other_names() -> None:
    table = rows(REFERENCE / "options.md", "Argument")
    assert [row[0] for row in table] == list(OURS)
    for at, plugin in enumerate(("rerunfailures", "pytest-retry", "flaky"), start=2):
        told = {name: row[0] for row in table for name in re.findall(r"\w+", row[at].partition(",")[0])}
        assert told == {name: ours for name, ours in OTHERS[plugin].items() if ours}


def test_what_may_stand_in_an_override_and_in_a_rule_is_listed() -> None:
    text = prose(REFERENCE / "options.md")
    of_test, of_error = ({option.name for option in some} for some in (OF_TEST, OF_ERROR))
    (but,) = re.findall(r"all of \[Retry\]\(#retry\) but (.*?)\. ", text, re.DOTALL)
    retry = {option.name for option in OPTIONS if option.table == "retry"}
    assert set(re.findall(r"`(.*?)`", but)) == retry - of_test
    (those,) = re.findall(r"\n(`retries`, [^.]*) can be set\.", text)
    assert set(re.findall(r"`(.*?)`", those)) == of_error


def test_the_explanation_in_the_reference_is_what_is_printed(pytester: pytest.Pytester) -> None:
    at = [block.text for block in blocks(REFERENCE / "options.md")]
    (shown,) = [text for text in at if text.startswith("$ pytest -q --resilience-explain")]
    toml, python = at[at.index(shown) - 2 : at.index(shown)]
    batch = Batch(pytester, {"pyproject.toml": toml, "test_db.py": python})
    command, *lines = shown.splitlines()
    run = batch.run_bare("-p", "no:asyncio", *command.split()[2:])
    assert run.status == 0
    assert run.lines[: len(lines)] == lines


def test_every_outcome_has_its_row_and_says_what_it_is() -> None:
    yes = {True: "yes", False: "no"}
    assert [(row[0], *row[2:]) for row in rows(REFERENCE / "outcomes.md", "Outcome")] == [
        (outcome.value, yes[outcome.is_bad], yes[outcome.is_outstanding]) for outcome in Outcome
    ]


def test_every_word_that_the_summary_begins_a_line_with_is_explained() -> None:
    printed = set(re.findall(r"""Line\(\s*f?"([A-Z]+) """, inspect.getsource(summary)))
    assert printed == {row[0] for row in rows(DOCS / "how-to" / "read-the-summary.md", "Word")}


def test_every_word_of_a_plan_is_one_of_the_summary_or_is_explained() -> None:
    printed = set(re.findall(r"""(?:Line|_named)\(\s*f?"([A-Z]+)[ "]""", inspect.getsource(plan)))
    of_summary = {row[0] for row in rows(DOCS / "how-to" / "read-the-summary.md", "Word")}
    assert printed - of_summary == {
        row[0] for row in rows(DOCS / "how-to" / "resume-a-run.md", "Word of the plan")
    }


def test_every_code_has_its_heading() -> None:
    shown = [heading for heading in headings(REFERENCE / "codes.md") if heading.startswith("RES")]
    assert shown == [str(code) for code in Code]


# -- the ledger ----------------------------------------------------------------------------------------------------


def _lines_of_the_ledger() -> list[str]:
    shown = [block.text for block in blocks(REFERENCE / "ledger-format.md") if block.language == "json"]
    return [text for text in shown if text.startswith('{"k":')]


def test_every_kind_of_record_is_shown_as_a_line_that_is_believed() -> None:
    facts = [decode(line.encode("ascii")).fact for line in _lines_of_the_ledger()]
    assert {type(fact) for fact in facts} == set(get_args(Fact))


def test_every_line_that_is_shown_was_written_once() -> None:
    """Verbatim from the stored samples, but for what came later: members of the header, what was collected, signatures."""
    samples = ROOT / "tests" / "ledger" / "samples"
    written = {line for path in samples.rglob("*.jsonl") for line in path.read_text("ascii").splitlines()}
    shown = {line.strip(): json.loads(line) for line in _lines_of_the_ledger()}
    assert [
        line
        for line, members in shown.items()
        if line not in written and members["k"] not in {"hdr", "col"} and "h" not in members
    ] == []


def test_the_signed_line_is_signed_with_the_secret_that_is_told() -> None:
    page = REFERENCE / "ledger-format.md"
    (line,) = [block.text for block in blocks(page) if ',"h":' in block.text]
    (run,) = [RunInfo.from_json(block.text) for block in blocks(page) if block.text.startswith("{\n")]
    (secret,) = re.findall(r"had its secret been `(.*)`", page.read_text("utf-8"))
    assert isinstance(decode(line.encode(), Seal.of(secret.encode(), run.id, run.nonce)).fact, TestFinished)


def test_every_kind_of_record_has_its_heading() -> None:
    kinds = [json.loads(line)["k"] for line in _lines_of_the_ledger()]
    shown = [
        heading.partition(":")[0] for heading in headings(REFERENCE / "ledger-format.md") if ": " in heading
    ]
    assert shown == kinds


def test_the_description_of_a_run_is_one_that_is_understood() -> None:
    shown = [block.text for block in blocks(REFERENCE / "ledger-format.md") if block.text.startswith("{\n")]
    assert len(shown) == 1
    assert json.loads(shown[0]).keys() == json.loads(RunInfo.from_json(shown[0]).to_json()).keys()


# -- whatever a page says ------------------------------------------------------------------------------------------


@each_page
def test_a_page_has_one_title(page: Path) -> None:
    assert len(re.findall(r"^# ", prose(page), re.MULTILINE)) == 1


@each_page
def test_codes_that_a_page_names_exist(page: Path) -> None:
    for number, name in re.findall(r"\b(RES\d{3})\b(?: ([a-z]+(?:-[a-z]+)+))?", page.read_text("utf-8")):
        code = Code.of(number)
        assert code is not None, number
        assert not name or str(code) == f"{number} {name}"


@each_page
def test_flags_that_a_page_names_exist(page: Path) -> None:
    ours = re.findall(r"(?<![\w-])--(?:res|retr|stop|run-)[a-z-]*", page.read_text("utf-8"))
    assert set(ours) <= FLAGS


@each_page
def test_a_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        if anchor:
            slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings(there)}
            assert anchor in slugs, target


@pytest.mark.parametrize("block", blocks_of("python"), ids=str)
def test_python_in_the_docs_is_python_and_its_markers_are_understood(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.flaky":
            # Our own session knows no marker of that name: the plugin is not active in it.
            marker = eval(ast.unparse(node).replace("flaky", "slow", 1), {"pytest": pytest})
            marked(marker.mark)


@pytest.mark.parametrize("block", blocks_of("toml"), ids=str)
def test_toml_in_the_docs_is_a_table_that_is_accepted(block: Block) -> None:
    table = tomllib.loads(block.text)["tool"]["resilience"]
    settings = resolve({}, table)
    assert settings.sources or settings.overrides or settings.rules


@pytest.mark.parametrize("block", blocks_of("yaml"), ids=str)
def test_yaml_in_the_docs_is_laid_out_as_yaml_is(block: Block) -> None:
    """Not all of YAML, of which nothing else here needs to know: names and lists, indented by two."""
    deepest = 0
    for line in block.text.splitlines():
        parts = re.fullmatch(r"((?:  )*)(- )?([\w-]+:(?= |$))?(.*)", line)
        assert parts is not None, line
        indent, dash, name, _ = parts.groups()
        assert dash or name, line
        assert len(indent) <= deepest, line
        deepest = len(indent) + (2 if name or dash else 0) + (2 if name and dash else 0)


@pytest.mark.parametrize("block", blocks_of("json"), ids=str)
def test_json_in_the_docs_is_json(block: Block) -> None:
    json.loads(block.text)


# -- the readme ----------------------------------------------------------------------------------------------------


def test_the_readme_has_the_line_that_ci_runs() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    line = re.search(r"^test_line='(.+)'$", script, re.MULTILINE)
    assert line is not None
    assert [block.text for block in blocks(README) if block.text == f"{line[1]}\n"]


def test_the_summary_in_the_readme_adds_up() -> None:
    shown = [block.text for block in blocks(README) if "OUTCOMES" in block.text]
    assert shown
    for text in shown:
        line = re.search(r"^OUTCOMES total=(\d+) (.+)$", text, re.MULTILINE)
        assert line is not None
        counts = {name: int(number) for name, _, number in (pair.partition("=") for pair in line[2].split())}
        assert counts.keys() <= {outcome.value for outcome in Outcome}
        assert sum(counts.values()) == int(line[1])


def test_a_fragment_of_the_changelog_names_only_what_exists() -> None:
    types = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["towncrier"]["type"]
    known = {one["directory"] for one in types}
    for fragment in (ROOT / "changelog.d").glob("*.md"):
        text = fragment.read_text("utf-8")
        if fragment.name != "README.md":
            assert fragment.suffixes[-2:] in [[f".{name}", ".md"] for name in known]
        assert set(re.findall(r"(?<![\w-])--(?:res|retr|stop|run-)[a-z-]*", text)) <= FLAGS

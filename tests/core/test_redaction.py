"""What is taken for a secret and what is not; what was redacted once is not changed again."""

import re
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_resilience.core import redaction
from pytest_resilience.core.redaction import MARK, Redactor, is_redacted, is_secret_name, secret_values

from ..secret_texts import SHAPES, Planted

AROUND = [
    "{}",
    "({})",
    "'{}'",
    "tests/test_a.py::test[{}]",
    "test[1-{}-x]",
    "Error: {}\n  at {}",
    "a b, {}; c",
    "\\n{}\\n",
]


def values(**environ: str) -> list[str]:
    return list(secret_values(environ, lambda value: value.startswith("/there")))


# -- shapes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_a_secret_of_a_known_shape_is_taken_out_wherever_it_stands(shape: str) -> None:
    @settings(max_examples=20)
    @given(SHAPES[shape], st.sampled_from(AROUND))
    def check(planted: Planted, around: str) -> None:
        text = around.replace("{}", planted.text)
        redacted = Redactor().text(text)
        assert planted.secret not in redacted
        assert is_redacted(redacted)

    check()


@pytest.mark.parametrize("kind", ["aws secret", "bearer", "password in a call", "url"])
@given(data=st.data())
def test_a_secret_goes_too_where_nothing_before_it_tells_any_more(kind: str, data: st.DataObject) -> None:
    """Of a long text that it compares pytest shows the begin and the end."""
    planted = data.draw(SHAPES[kind])
    abbreviated = f"it is {planted.text}\nassert 'aws_secret_a...{planted.secret}' == 'another'"
    assert planted.secret not in Redactor().text(abbreviated)


def test_a_word_that_was_taken_for_a_secret_stays_elsewhere() -> None:
    text = "password: required\nthis field is required"
    assert Redactor().text(text) == f"password: {MARK}\nthis field is required"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("GET https://me:hunter2@host/x?y", "GET https://me:***@host/x?y"),
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer ***"),
        ("login(user='me', password='correct horse')", "login(user='me', password=***)"),
        ('{"api_key": "a1b2c3d4", "n": 1}', '{"api_key": ***, "n": 1}'),
        ("test_a.py::test[AKIAABCDEFGHIJKLMNOP-x]", "test_a.py::test[***-x]"),
    ],
)
def test_what_stands_around_a_secret_stays(text: str, redacted: str) -> None:
    assert Redactor().text(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "tests/test_token.py::TestToken::test_password[password-token]",
        "tests/secret/test_api_key.py::test_secret[None]",
        "TypeError: connect() got an unexpected keyword argument 'password'",
        "assert password == 'hunter2'",
        "KeyError: 'token'",
        "unexpected token: RPAREN at 3:7",
        "SyntaxError: invalid token: identifier",
        "password=None, token=True",
        "password must have 8 characters",
        "max_tokens=4096000",
        "tokenizer=bert-base-uncased-2",
        "https://example.org:8080/a@b",
        "Bearer token expected",
        "GHP_ and ghp_short and AKIA",
        "XAKIAABCDEFGHIJKLMNOP",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "eyJ.eyJ.x",
        "risk-of-something-that-is-really-quite-long",
        "8f14e45fceea167a5a36dedd4bea2543",
        "0b5c2c3e-5d4b-4917-bbdd-a4fc04b20f95",
        "* ** *** ****",
    ],
)
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert Redactor().text(text) == text


# -- the environment --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "GITHUB_TOKEN",
        "DB_PASSWORD",
        "MYSQL_PWD",
        "DB_PASS",
        "PGPASSWORD",
        "CLIENT_SECRET",
        "API_KEY",
        "APIKEY",
        "AWS_SECRET_ACCESS_KEY",
        "SSH_PRIVATE_KEY",
        "GCP_CREDENTIALS",
        "RESILIENCE_LEDGER_KEY",
        "npm_config_auth_token",
        "--db-password",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "PWD",
        "OLDPWD",
        "PATH",
        "HOME",
        "CACHE_KEY",
        "KEYBOARD",
        "DB_PASSWORD_FILE",
        "SECRET_NAME",
        "TOKEN_EXPIRES_AT",
        "TOKEN_TTL",
        "TOKEN_URL",
        "COMPASS",
        "BYPASS",
        "PYTEST_CURRENT_TEST",
    ],
)
def test_names_of_other_things(name: str) -> None:
    assert not is_secret_name(name)


def test_only_values_that_tell_something_count() -> None:
    assert values(A_TOKEN="short12", B_TOKEN="hunter2hunter2", C="hunter3hunter3") == ["hunter2hunter2"]
    assert values(DB_PASSWORD="postgres") == values(DB_PASSWORD="local-password") == []
    assert values(DB_PASSWORD="correct-horse-battery") == ["correct-horse-battery"]
    assert values(GOOGLE_CREDENTIALS="/there/is/such-a-file.json") == []
    assert values(AWS_SECRET_ACCESS_KEY="/abc/def123") == ["/abc/def123"]
    assert values(A_TOKEN="********") == []


def test_each_line_of_a_value_is_one_too() -> None:
    redactor = Redactor(values(A_SECRET="first-line-1\nsecond-line-2\n"))
    assert redactor.text("Error in second-line-2, not in line-2") == "Error in ***, not in line-2"


@pytest.mark.parametrize("value", ["hünter-2-zwei", 'it\'s \\1 "quoted"', "tab\there 12"])
def test_a_value_is_found_as_python_and_pytest_write_it(value: str) -> None:
    redactor = Redactor([value])
    for shown in (value, repr(value), value.encode("unicode_escape").decode("ascii")):
        assert "2" not in redactor.text(f"assert {shown} in x")
        assert "1" not in redactor.text(f"assert {shown} in x")


def test_the_longer_of_two_values_goes_first() -> None:
    assert Redactor(["abcdefgh", "abcdefgh12345678"]).text("x abcdefgh12345678 y") == "x *** y"


# -- patterns and others ----------------------------------------------------------------------------------------------


def test_what_a_pattern_finds_goes_as_a_whole() -> None:
    redactor = Redactor(patterns=[r"cust-(\d+)", r"(?i)zebra"])
    assert redactor.text("cust-123456 met a ZEBRA") == "*** met a ***"


def test_who_is_asked_sees_what_is_left_and_may_drop_it() -> None:
    asked = []

    def ask(text: str) -> str | None:
        asked.append(text)
        return None if "drop" in text else text.replace("lion", MARK)

    redactor = Redactor(["hunter2hunter2"], ask=ask)
    assert redactor.text("hunter2hunter2 feeds a lion") == "*** feeds a ***"
    assert asked[0] == "*** feeds a lion"
    assert redactor.text("drop it") == MARK
    asked.clear()
    assert redactor.text(MARK) == MARK
    assert redactor.text(f"{MARK} #2") == f"{MARK} #2"
    assert not asked, "nothing is left to ask about"


@pytest.mark.parametrize("answer", ["{}!", "no mark", "***{}"])
def test_an_answer_that_is_not_its_own_answer_or_has_no_mark_drops_the_text(answer: str) -> None:
    assert Redactor(ask=answer.format).text("secret") == MARK


def test_texts_are_counted_only_where_that_is_asked_for() -> None:
    redactor = Redactor(["hunter2hunter2"])
    redactor.text("hunter2hunter2")
    redactor.key("a.py::t[hunter2hunter2]")
    assert redactor.count == 0
    assert redactor.counted("hunter2hunter2 twice: hunter2hunter2") == "*** twice: ***"
    redactor.counted("nothing")
    assert redactor.count == 1


# -- twice ------------------------------------------------------------------------------------------------------------

PATTERNS = [r"\*", r".+", r"\W", r"^.", r".$", r"x*", r"(?<=\*)a", r"a|b\b", r"\*+a", "", r"(?s).", r"\S+$"]
PIECES = [
    "*",
    "**",
    "***",
    "a",
    "b",
    "ab",
    " ",
    "\n",
    "password=",
    "abcdef1",
    "token: ",
    "://u:",
    "@",
    "hunter12",
    "'",
]


@given(
    st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join),
    st.lists(st.sampled_from(PATTERNS), max_size=3),
    st.lists(st.sampled_from(["hunter12", "a***b***a", "abcdef1@"]), max_size=2),
)
def test_redacting_twice_changes_nothing(text: str, patterns: list[str], secret: list[str]) -> None:
    redactor = Redactor(secret, patterns)
    redacted = redactor.text(text)
    assert redactor.text(redacted) == redacted
    assert not any(one in redacted for one in secret)
    assert not any(hit.strip("*") for one in patterns for hit in re.findall(one, redacted))


@given(st.text())
def test_a_key_is_redacted_as_any_text_and_only_once(text: str) -> None:
    redactor = Redactor(patterns=["[0-9]+"])
    key = redactor.key(text)
    assert key == redactor.text(text)
    assert redactor.is_clean(key)
    assert redactor.key(key) is key


@given(
    st.lists(
        st.lists(
            st.sampled_from([*PIECES, "\u03a3", "\u0130", "\u212a"]) | st.text(max_size=3), max_size=8
        ).map("".join)
        | st.one_of(*SHAPES.values()).map(lambda planted: planted.text),
        max_size=12,
    ),
    st.lists(st.sampled_from(PATTERNS), max_size=1),
    st.lists(st.sampled_from(["hunter12", "a***b***a", "abcdef1@"]), max_size=2),
    st.integers(1, 5),
)
def test_many_keys_are_redacted_as_each_of_them(
    keys: list[str], patterns: list[str], secret: list[str], at_once: int
) -> None:
    many, one = Redactor(secret, patterns), Redactor(secret, patterns)
    with patch.object(redaction, "_KEYS_AT_ONCE", at_once):
        assert many.keys(keys) == [one.key(key) for key in keys]
    assert all(many.is_clean(key) == one.is_clean(key) for key in keys)


def test_of_many_keys_who_is_asked_sees_each() -> None:
    asked: list[str] = []

    def ask(text: str) -> str:
        asked.append(text)
        return text

    redactor = Redactor(ask=ask)
    assert redactor.keys(["a", "b", "a"]) == ["a", "b", "a"]
    assert asked == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        "eyJ" * 5000,
        "eyJaaaaaaaa." * 2000,
        "://" * 9000,
        "://a:" * 9000,
        "password: '" * 4000,
        "token=1" * 4000,
        "-----BEGIN PRIVATE KEY" * 2000,
        "-----BEGIN PRIVATE KEY-----" * 2000,
        "bearer " * 9000,
        "AKIA" * 9000,
    ],
)
def test_no_text_takes_for_ever(text: str) -> None:
    redactor = Redactor()
    assert redactor.text(redactor.text(text)) == redactor.text(text)

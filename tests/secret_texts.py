"""Made-up secrets of every shape that is known, drawn at random."""

import string
from random import Random
from typing import NamedTuple

from hypothesis import strategies as st

LETTERS = string.ascii_letters + string.digits


class Planted(NamedTuple):
    """A text with a secret in it."""

    text: str
    secret: str


def some(least: int, most: int, alphabet: str = LETTERS, salt: str = "") -> st.SearchStrategy[str]:
    """So many characters, with a digit among them, as what is random has. No two kinds of secret have the same."""

    def made(seed: int) -> str:
        random = Random(f"{seed}{salt}{least}{alphabet}")
        characters = [*random.choices(alphabet, k=random.randint(least, most) - 2), random.choice("23456789")]
        random.shuffle(characters)
        return "".join([*characters, alphabet[0]])

    return st.integers(0, 2**64).map(made)


def after(start: str, least: int, most: int, alphabet: str = LETTERS) -> st.SearchStrategy[Planted]:
    """A secret that begins like this."""
    return some(least, most, alphabet, start).map(lambda rest: Planted(start + rest, start + rest))


def within(text: str, least: int = 10, most: int = 30) -> st.SearchStrategy[Planted]:
    """A secret that the text around it gives away."""
    return some(least, most, salt=text).map(lambda secret: Planted(text.format(secret), secret))


_UPPER = string.ascii_uppercase + string.digits
_PEM = "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----"

SHAPES: dict[str, st.SearchStrategy[Planted]] = {
    "aws": after("AKIA", 16, 16, _UPPER),
    "aws session": after("ASIA", 16, 16, _UPPER),
    "github": after("ghp_", 36, 36),
    "github app": after("ghs_", 36, 40),
    "github fine-grained": after("github_pat_", 60, 82, LETTERS + "_"),
    "gitlab": after("glpat-", 20, 26, LETTERS + "_-"),
    "slack": after("xoxb-", 20, 50, LETTERS + "-"),
    "slack app": after("xapp-1-", 20, 50, LETTERS + "-"),
    "slack hook": within("https://hooks.slack.com/services/{}", 24, 40),
    "stripe": after("sk_live_", 24, 60),
    "stripe test": after("rk_test_", 24, 60),
    "stripe hook": after("whsec_", 32, 40),
    "google": after("AIza", 35, 35, LETTERS + "_-"),
    "google access": after("ya29.", 40, 60, LETTERS + "_-"),
    "google client": after("GOCSPX-", 28, 28, LETTERS + "_-"),
    "openai": after("sk-proj-", 40, 60),
    "npm": after("npm_", 36, 36),
    "pypi": after("pypi-AgE", 40, 90, LETTERS + "_-"),
    "sendgrid": st.tuples(some(22, 22), some(43, 43)).map(
        lambda two: Planted(*[f"SG.{two[0]}.{two[1]}"] * 2)
    ),
    "jwt": st.tuples(some(20, 60), some(20, 60), some(20, 43)).map(
        lambda three: Planted(*[f"eyJ{three[0]}.eyJ{three[1]}.{three[2]}"] * 2)
    ),
    "key": within(_PEM, 64, 64),
    "key in one line": within(_PEM.replace("\n", "\\n"), 64, 64),
    "key cut off": within("-----BEGIN OPENSSH PRIVATE KEY-----\n{}", 64, 64),
    "bearer": within("Authorization: Bearer {}"),
    "basic": within("authorization='Basic {}'"),
    "url": within("postgresql://app:{}@localhost:5432/db"),
    "url without a user": within("redis://:{}@cache"),
    "password": within("password={}"),
    "password in a call": within("connect(db_password='{}', timeout=3)"),
    "password in JSON": within('{{"Password": "{}"}}'),
    "password in JSON in JSON": within('{{\\"passwd\\": \\"{}\\"}}'),
    "password in an id of that": within('{{\\\\"passwd\\\\": \\\\"{}\\\\"}}'),
    "password in a line": within("Passphrase: {}"),
    "secret": within("client_secret={}"),
    "token": within("csrf_token={}"),
    "token in a dict": within("{{'token': '{}'}}"),
    "api key": within("X-Api-Key: {}"),
    "account key": within("AccountName=me;AccountKey={}==;EndpointSuffix=core"),
    "aws secret": within("aws_secret_access_key = {}"),
}

"""Values that should be secrets are refused, and never shown."""

from __future__ import annotations

import pytest

from orchestune.config.sections.tokens import looks_like_a_secret
from tests.unit.config.samples import problems, with_lines

# put together here, so that no scanner takes this file for a leak
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
GITHUB = "ghp" + "_abcdefghijklmnopqrstuvwxyz0123456789"
HUGGING_FACE = "hf" + "_abcdefghijklmnopqrstuvwxyz"
OPENAI = "sk" + "-proj-abcdefghijklm0123nopq"
SLACK = "xoxb" + "-123456789012-abcdefghij"
WEB_TOKEN = "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"
KEY_FILE = "-----BEGIN RSA " + "PRIVATE KEY-----"
DATABASE = "postgresql://ada:" + "pw@db/x"
RANDOM = "9f8a7b6c5d4e3f2a" + "1b0c9d8e7f6a5b4c3d2e1f0a"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("A", AWS),
        ("A", GITHUB),
        ("A", HUGGING_FACE),
        ("A", OPENAI),
        ("A", SLACK),
        ("A", WEB_TOKEN),
        ("A", KEY_FILE),
        ("A", DATABASE),
        ("A", f"prefix {GITHUB}"),
        ("WANDB_API_KEY", RANDOM),
        ("MY_TOKEN", RANDOM),
        ("apiKey", RANDOM),
        ("DB_PASSWORD", "hunter2"),
        ("CLIENT_SECRET", "correct horse"),
    ],
)
def test_tokens_and_passwords_are_recognised(name: str, value: str) -> None:
    assert looks_like_a_secret(name, value)
    (message,) = problems(with_lines(f"env:\n  {name}: '{value}'"))
    assert message.startswith(f"experiment.yml:9:{len(name) + 5}: env.{name}: looks like a token or password")
    assert "`secrets`" in message
    assert value not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKENIZERS_PARALLELISM", "false"),
        ("MAX_TOKENS", "512"),
        ("PASSWORD_FILE", "/run/secrets/password"),
        ("TOKEN_PATH", "~/.cache/token"),
        ("PARTITION_KEY", "user_id"),
        ("SORT_KEY", "a long name with spaces 1"),
        ("DATA_URL", "https://example.org/data?id=1"),
        ("GIT_URL", "git@github.com:a/b.git"),
        ("MODEL", "sk-learn-gradient-boosting-baseline"),
        ("HASH", RANDOM),
        ("USE_AUTH", "true"),
        ("OMP_NUM_THREADS", "4"),
    ],
)
def test_ordinary_values_pass(name: str, value: str) -> None:
    assert problems(with_lines(f"env:\n  {name}: '{value}'")) == []


@pytest.mark.parametrize(
    "section",
    [
        f"secrets: {{A: {GITHUB}}}",
        f"secrets: {{A: env:{GITHUB}}}",
        f"secrets: {{A: {{env: {GITHUB}}}}}",
        f"secrets: {{A: {{value: {GITHUB}}}}}",
        f"secrets: {{A: [{GITHUB}]}}",
        f"secrets: [{GITHUB}]",
        f"secrets: {GITHUB}",
    ],
)
def test_a_value_in_the_place_of_a_name_is_refused_and_not_shown(section: str) -> None:
    (message,) = problems(with_lines(section))
    assert "secrets" in message
    assert GITHUB not in message


def test_a_value_from_the_command_line_is_not_shown_either() -> None:
    for override in (f"env.TOKEN={GITHUB}", f"secrets.TOKEN={GITHUB}"):
        (message,) = problems(with_lines(""), [override])
        assert GITHUB not in message


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            "secrets: {A: value}",
            ("8:14: secrets.A: expected env:NAME or file:PATH, the source of the value (never write the value itself)"),
        ),
        (
            "secrets: ['not a name']",
            "8:11: secrets[0]: expected the name of a variable of your environment (never write the value itself)",
        ),
        (
            "secrets: [{name: A, file: a.txt}]",
            (
                "8:11: secrets[0]: expected the name of a variable of your environment"
                " (write the mapping without a list: `secrets: {NAME: file:PATH}`)"
            ),
        ),
        ("secrets: [A, A]", "8:14: secrets[1]: lists A twice"),
        ("env: {A: x}\nsecrets: [A]", "9:10: secrets: A is also set under `env` (remove one of the two)"),
        (
            "env: {ORCHESTUNE_TRIAL: 5}",
            (
                "8:7: env.ORCHESTUNE_TRIAL: 'ORCHESTUNE_TRIAL' is not a valid name for a variable; use letters, digits"
                " and _, not starting with a digit or ORCHESTUNE_"
            ),
        ),
        ("env: {A: }", '8:7: env.A: has no value, expected text or a number ("" for an empty text)'),
        ("env: {A: [b]}", "8:10: env.A: found a list, expected text or a number"),
    ],
)
def test_other_mistakes_in_env_and_secrets_are_told_at_their_place(section: str, message: str) -> None:
    assert problems(with_lines(section)) == [f"experiment.yml:{message}"]

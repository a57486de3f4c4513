"""Tokens and passwords that a user writes where all who see the experiment read them."""

from __future__ import annotations

from typing import Any

import pytest

from orchestune.config.sections.tokens import command_has_a_secret
from orchestune.errors import BadInput
from orchestune.services.commands.change_experiment import Changes, change_experiment
from orchestune.services.core import Core
from tests.unit.config.samples import changed, problems, with_lines

# put together here, so that no scanner takes this file for a leak
GITHUB = "ghp" + "_abcdefghijklmnopqrstuvwxyz0123456789"
HUGGING_FACE = "hf" + "_abcdefghijklmnopqrstuvwxyz"
DATABASE = "postgresql://ada:" + "pw@db/x"
RANDOM = "9f8a7b6c5d4e3f2a" + "1b0c9d8e7f6a5b4c3d2e1f0a"


@pytest.mark.parametrize(
    "command",
    [
        f"HF_TOKEN={HUGGING_FACE} python train.py {{args}}",
        f"python train.py --hf {HUGGING_FACE}",
        f"python train.py --db {DATABASE}",
        f"python train.py --wandb-api-key {RANDOM} {{args}}",
        f"python train.py --wandb_api_key='{RANDOM}'",
        "python train.py --password hunter2",
        "DB_PASSWORD='hunter2' python train.py",
        "python train.py --db.password=hunter2",
        f"curl -H 'Authorization: Bearer {RANDOM}' https://example.org | python train.py",
        ["python", "train.py", "--token", RANDOM],
        ["sh", "-c", f"API_TOKEN={RANDOM} python train.py"],
        ["python", "train.py", GITHUB],
    ],
)
def test_a_command_with_a_token_or_password_is_recognised(command: str | list[str]) -> None:
    assert command_has_a_secret(command)


@pytest.mark.parametrize(
    "command",
    [
        "python train.py {args}",
        "HF_TOKEN=$HF_TOKEN python train.py",
        "python train.py --password $DB_PASSWORD --token ${API_TOKEN} --key {key}",
        "python train.py --db postgresql://$DB_USER:$DB_PASSWORD@db/x",
        'python train.py --password "$(cat /run/secrets/password)"',
        "python train.py --password-file /run/secrets/password --token ~/.token",
        'curl -H "Authorization: Bearer $TOKEN" https://example.org',
        "python train.py --max-tokens 512 --token-embedding-dim 128 --secret-size large --sort-key user_id",
        "python train.py --no-password model.py --ask-secret --verbose",
        "python -c \"import os; connect(password=os.environ['DB_PASSWORD'])\"",
        "python train.py --auth none --use-key true --key image",
        "python train.py 'an open quote",
        ["python", "train.py", "--lr", "{lr}", "--model", "sk-learn-gradient-boosting-baseline"],
    ],
)
def test_a_command_without_one_is_left_alone(command: str | list[str]) -> None:
    assert not command_has_a_secret(command)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (with_lines(f"labels:\n  note: {GITHUB}"), "labels.note"),
        (with_lines(f"labels:\n  wandb.key: {RANDOM}"), "labels.wandb.key"),
        (changed("name: SGD", f"name: {GITHUB}"), "name"),
    ],
)
def test_labels_and_names_are_refused_without_being_shown(text: str, key: str) -> None:
    (message,) = problems(text)
    assert f": {key}: looks like a token or password" in message and "`secrets`" in message
    assert GITHUB not in message and RANDOM not in message


def test_a_command_of_a_file_is_refused_without_being_shown() -> None:
    (message,) = problems(changed("run: ", f"run: API_TOKEN={RANDOM} "))
    assert ": run: contains what looks like a token or password" in message and RANDOM not in message


def test_a_label_that_is_changed_over_http_is_refused_too(own_core: Core, handles: dict[str, str]) -> None:
    def change(**labels: Any) -> None:
        change_experiment(own_core, handles["image model"], Changes(labels=labels), "ada")

    change(team="vision")
    with pytest.raises(BadInput, match=r"labels\.note: looks like a token") as error:
        change(team="vision", note=GITHUB)
    assert GITHUB not in str(error.value)

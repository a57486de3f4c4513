from __future__ import annotations

import pytest

from orchestune.config.experiment_file import Loaded, parse
from orchestune.domain.specification.notify import Hook
from orchestune.errors import BadInput

FILE = """
run: python train.py
parameters: {lr: 0.0..1.0}
metrics: {loss: minimize}
budget: 3
notify: %s
"""


def read(notify: str) -> Loaded:
    return parse(FILE % notify, "experiment.yml")


@pytest.mark.parametrize(
    ("text", "hooks"),
    [
        ("https://example.org", (Hook("https://example.org"),)),
        ("env:SLACK_HOOK", (Hook("env:SLACK_HOOK"),)),
        ("[file:hook.txt, https://example.org/a]", (Hook("file:hook.txt"), Hook("https://example.org/a"))),
        (
            "{url: env:HOOK, secret: env:KEY, on: failed, better: 1e-3, stuck: 30m, format: slack}",
            (Hook("env:HOOK", "env:KEY", ("failed",), 0.001, 1800.0, "slack"),),
        ),
        ("[{url: env:HOOK, on: [], better: 0.5}]", (Hook("env:HOOK", on=(), better=0.5),)),
        ("[]", ()),
    ],
)
def test_what_is_told_to_whom(text: str, hooks: tuple[Hook, ...]) -> None:
    assert read(text).specification.notify == hooks


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("example.org", "experiment.yml:6:9: notify: expected a URL that starts with https"),
        ("ftp://example.org/", "expected a URL that starts with"),
        ("https://ada:hidden@example.org/", ("contains a password, which must not be written to a file (write"
                                            " env:NAME or")),
        ("{url: env:HOOK, secret: hidden}", "notify.secret: expected env:NAME or file:PATH"),
        ("{on: failed}", "notify.url: is missing"),
        ("{url: env:HOOK, on: [done]}", "found 'done', expected finished, failed or paused (did you mean finished?)"),
        ("{url: env:HOOK, when: failed}", "notify.when: unknown key (did you mean on?)"),
        ("{url: env:HOOK, stuck: soon}", "notify.stuck: found 'soon', expected a duration"),
    ],
)  # fmt: skip
def test_a_mistake_says_where_it_is_and_shows_no_secret(text: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(text)
    assert message in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_an_address_that_may_be_a_key_is_pointed_out_and_records_have_its_host_alone() -> None:
    loaded = read("https://hooks.slack.com/services/T0/B0/hidden")
    assert "notify: the URL is uploaded with the code" in loaded.notes[0]
    (record,) = loaded.specification.to_json()["notify"]
    assert record["url"] == "https://hooks.slack.com/…"

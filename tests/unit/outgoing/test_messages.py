from __future__ import annotations

import json
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from orchestune.outgoing.messages import content, headers, key

DATA = {"text": "<!channel> & co finished", "experiment": "a-1", "url": "http://here/experiments/a-1"}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_library_of_the_standard_takes_the_signature() -> None:
    body = content("json", "finished", "2026-01-01T00:00:00.000Z", DATA)
    sent = headers("id.1.finished.0", int(time.time()), body, SECRET)
    message = Webhook(SECRET).verify(body, sent)
    assert message == {"type": "experiment.finished", "timestamp": "2026-01-01T00:00:00.000Z", "data": DATA}


@pytest.mark.parametrize("change", ["body", "webhook-id", "webhook-timestamp", "secret", "age"])
def test_it_refuses_what_was_changed_or_is_old(change: str) -> None:
    body = content("json", "finished", "2026-01-01T00:00:00.000Z", DATA)
    now = int(time.time()) - (3600 if change == "age" else 0)
    sent = headers("id.1.finished.0", now, body, SECRET)
    if change in sent:
        sent[change] = {"webhook-id": "id.2.finished.0", "webhook-timestamp": str(now + 1)}[change]
    body = body.replace(b"finished", b"failed") if change == "body" else body
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_AAAA9r8GKYqrTwjUPD8ILPZIo2LaLaSw" if change == "secret" else SECRET).verify(body, sent)


def test_a_secret_of_another_kind_is_its_own_bytes() -> None:
    assert key("correct horse") == b"correct horse"
    assert key("whsec_not base64!") == b"whsec_not base64!"
    assert "webhook-signature" not in headers("id", 1, b"", "")


def test_slack_gets_a_text_in_which_nobody_is_called_by_a_name() -> None:
    document = json.loads(content("slack", "finished", "", DATA))
    assert document == {"text": "&lt;!channel&gt; &amp; co finished\n<http://here/experiments/a-1|a-1>"}

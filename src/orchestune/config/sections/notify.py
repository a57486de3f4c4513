"""The section `notify`: who is told when an experiment ends, pauses, finds something good, or stands still."""

from __future__ import annotations

import re

from orchestune.config.document.kinds import NUMBER, TIME, Key, ValueKind, one_of
from orchestune.config.document.nodes import ScalarNode
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import changed, either, list_of, section
from orchestune.config.sections.environment import SOURCE, SOURCE_PATTERN, read_source
from orchestune.domain.specification.notify import FORMATS, MOMENTS, Hook, shown

ADDRESS_WORDS = f"an address that begins with https:// or http://, or {SOURCE}"
_ADDRESS = r"[hH][tT][tT][pP][sS]?://[^\s/?#]+[^\s]*"
_MOST = 10
_LONGEST = 2000


def _read_url(found: Field) -> str | None:
    """What stands there is never shown: such an address may be a key."""
    text = found.node.text if isinstance(found.node, ScalarNode) else ""
    if re.fullmatch(_ADDRESS, text) and len(text) <= _LONGEST:
        if re.match(r"https?://[^/]*@", text, re.IGNORECASE):
            found.wrong("has a password in it, which must not stand in a file", f"write {SOURCE}")
            return None
        if shown(text) != text.rstrip("/"):
            found.note("the address travels with the code; if whoever has it may write there, name it as env:NAME")
        return text
    if text.partition(":")[0] in ("env", "file"):
        return read_source(found)
    found.wrong(f"expected {ADDRESS_WORDS}")
    return None


URL = ValueKind[str](
    ADDRESS_WORDS,
    {"anyOf": [{"type": "string", "pattern": f"^{_ADDRESS}$", "maxLength": _LONGEST}, SOURCE_PATTERN]},
    _read_url,
)
_MOMENT = one_of(MOMENTS, {"completed": "finished", "done": "finished", "stopped": "finished", "failure": "failed"})
_KEYS = (
    Key("url", URL, "Where messages go. Records show its host alone.", required=True),
    Key("secret", ValueKind[str](SOURCE, SOURCE_PATTERN, read_source), "Key that signs messages, so that receivers"
        " can verify them.", "they are not signed"),
    Key("on", either("finished, failed or paused, or a list of them", scalar=changed(_MOMENT, lambda one: (one,)),
                     listing=list_of(_MOMENT, "a list of finished, failed, paused", least=0, most=len(MOMENTS))),
        "When. `finished` is also said of an experiment that somebody stopped.", "finished, failed, paused"),
    Key("better", NUMBER, "Also when the best value of the first metric becomes better than this.", "no message"),
    Key("stuck", TIME, "Also after so long without any trial that begins, ends or reports a value.", "no message"),
    Key("format", one_of(FORMATS), "`slack` is what Slack, Mattermost and others take.", "`slack` for an address of"
        " Slack, or one that ends with /slack; else `json`"),
)  # fmt: skip
_HOOK = section(_KEYS, also={"to": "url", "address": "url", "webhook": "url", "when": "on", "events": "on",
                             "key": "secret", "better_than": "better", "style": "format"})  # fmt: skip


def _read_hook(found: Field) -> Hook | None:
    read = _HOOK.read(found) or {}
    url = read.get("url")
    if url is None:
        return None
    on: tuple[str, ...] = read["on"] if read.get("on") is not None else MOMENTS
    return Hook(url, read.get("secret") or "", on, read.get("better"), read.get("stuck"), read.get("format") or "")


_ONE = changed(URL, Hook)
_LONG = _HOOK.read_by(_read_hook)
NOTIFY = either(
    f"{ADDRESS_WORDS}, a mapping with url, or a list of these",
    scalar=changed(_ONE, lambda one: (one,)),
    listing=list_of(either(f"{ADDRESS_WORDS}, or a mapping with url", scalar=_ONE, mapping=_LONG),
                    "a list of addresses", least=0, most=_MOST),
    mapping=changed(_LONG, lambda one: (one,)),
)  # fmt: skip

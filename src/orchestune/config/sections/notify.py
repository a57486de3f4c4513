"""The section `notify`: webhooks to call when an experiment finishes, fails, pauses, improves, or gets stuck."""

from __future__ import annotations

import re

from orchestune.config.document.kinds import NUMBER, TIME, Key, ValueKind, one_of
from orchestune.config.document.nodes import ScalarNode
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import converted, either, list_of, section
from orchestune.config.sections.environment import SOURCE, SOURCE_PATTERN, read_source
from orchestune.domain.specification.notify import FORMATS, MOMENTS, Hook, public_part

ADDRESS_WORDS = f"a URL that starts with https:// or http://, or {SOURCE}"
_ADDRESS = r"[hH][tT][tT][pP][sS]?://[^\s/?#]+[^\s]*"
_MAX_HOOKS = 10
_MAX_URL_LENGTH = 2000


def _read_url(field: Field) -> str | None:
    """Parse a URL or its source. Messages never show the text: the URL may be a credential."""
    text = field.node.text if isinstance(field.node, ScalarNode) else ""
    if re.fullmatch(_ADDRESS, text) and len(text) <= _MAX_URL_LENGTH:
        if re.match(r"https?://[^/]*@", text, re.IGNORECASE):
            field.reject("contains a password, which must not be written to a file", f"write {SOURCE}")
            return None
        if public_part(text) != text.rstrip("/"):
            field.note("the URL is uploaded with the code; if it grants write access by itself, use env:NAME instead")
        return text
    if text.partition(":")[0] in ("env", "file"):
        return read_source(field)
    field.reject(f"expected {ADDRESS_WORDS}")
    return None


URL = ValueKind[str](
    ADDRESS_WORDS,
    {"anyOf": [{"type": "string", "pattern": f"^{_ADDRESS}$", "maxLength": _MAX_URL_LENGTH}, SOURCE_PATTERN]},
    _read_url,
)
_MOMENT = one_of(MOMENTS, {"completed": "finished", "done": "finished", "stopped": "finished", "failure": "failed"})
_KEYS = (
    Key("url", URL, "The URL that receives messages. Records show only its host.", required=True),
    Key("secret", ValueKind[str](SOURCE, SOURCE_PATTERN, read_source), "Key that signs messages, so that receivers"
        " can verify them.", "they are not signed"),
    Key("on", either("finished, failed or paused, or a list of them", scalar=converted(_MOMENT, lambda one: (one,)),
                     listing=list_of(_MOMENT, "a list of finished, failed, paused", least=0, most=len(MOMENTS))),
        "Events to send. `finished` includes experiments stopped by a user.", "finished, failed, paused"),
    Key("better", NUMBER, "Send a message when the best value of the first metric becomes better than this.",
        "no message"),
    Key("stuck", TIME, "Send a message after this time without any trial that starts, ends or reports a"
                       " value.", "no message"),
    Key("format", one_of(FORMATS), "`slack` is the format of Slack, Mattermost and others.", "`slack` for a URL of"
        " Slack, or one that ends with /slack; else `json`"),
)  # fmt: skip
_HOOK = section(_KEYS, also={"to": "url", "address": "url", "webhook": "url", "when": "on", "events": "on",
                             "key": "secret", "better_than": "better", "style": "format"})  # fmt: skip


def _read_hook(field: Field) -> Hook | None:
    section = _HOOK.read(field) or {}
    url = section.get("url")
    if url is None:
        return None
    events: tuple[str, ...] = section["on"] if section.get("on") is not None else MOMENTS
    return Hook(
        url,
        section.get("secret") or "",
        events,
        section.get("better"),
        section.get("stuck"),
        section.get("format") or "",
    )


_ONE = converted(URL, Hook)
_HOOK_MAPPING = _HOOK.read_by(_read_hook)
NOTIFY = either(
    f"{ADDRESS_WORDS}, a mapping with url, or a list of these",
    scalar=converted(_ONE, lambda one: (one,)),
    listing=list_of(either(f"{ADDRESS_WORDS}, or a mapping with url", scalar=_ONE, mapping=_HOOK_MAPPING),
                    "a list of addresses", least=0, most=_MAX_HOOKS),
    mapping=converted(_HOOK_MAPPING, lambda one: (one,)),
)  # fmt: skip

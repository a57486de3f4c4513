"""The section `mlflow`: a tracking server that records the experiment while it runs."""

from __future__ import annotations

from orchestune.config.document.kinds import Key, ValueKind, string
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import converted, either, section
from orchestune.config.sections.environment import SOURCE, SOURCE_PATTERN, read_source
from orchestune.config.sections.notify import ADDRESS_WORDS, URL
from orchestune.domain.specification.tracker import Tracker

_KEYS = (
    Key("uri", URL, "The address of the tracking server. Records show only its host.", required=True),
    Key("token", ValueKind[str](SOURCE, SOURCE_PATTERN, read_source), "Credentials for the server: a token, or"
        " USER:PASSWORD.",
        "none"),
    Key("experiment", string("the name of an MLflow experiment", most=500), "The MLflow experiment for the runs;"
        " created if it does not exist.", "the experiment's name"),
)  # fmt: skip
_SECTION = section(_KEYS, also={"url": "uri", "tracking_uri": "uri", "address": "uri", "name": "experiment",
                                "experiment_name": "experiment", "key": "token"})  # fmt: skip


def _read(field: Field) -> Tracker | None:
    section = _SECTION.read(field) or {}
    uri = section.get("uri")
    return None if uri is None else Tracker(uri, section.get("token") or "", section.get("experiment") or "")


MLFLOW = either(
    f"{ADDRESS_WORDS}, or a mapping with uri",
    scalar=converted(URL, Tracker),
    mapping=_SECTION.read_by(_read),
)

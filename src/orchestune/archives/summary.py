"""A summary of a record for a user who decides whether to trust it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import BinaryIO, TypedDict

from orchestune.archives import record
from orchestune.archives.format import ExperimentItem, RevisionItem, TrialItem

_MAX_SHOWN = 20  # distinct commands, images, secrets, volumes and links each
_MAX_TEXT = 2000  # characters of each
_MAX_PARSED = 4 * 2**20  # bytes of a specification that is parsed


class RecordSummary(TypedDict):
    """A summary of a record. All texts are claims of its author."""

    digest: str
    experiment: str
    handle: str
    name: str
    owner: str
    state: str
    written_by: str
    """version of Orchestune"""
    trials: dict[str, int]
    """by state"""
    attempts: int
    files: int
    bytes: int
    """total of code, artifacts and checkpoints"""
    commands: list[str]
    """of every revision; `rerun` uses that of the trial"""
    images: list[str]
    secrets: list[str]
    """variables and sources, such as TOKEN from env:TOKEN"""
    volumes: list[str]
    links: list[str]
    """paths of this machine that trials here see, also in containers of Docker"""


def contents(verified: record.VerifiedRecord, source: BinaryIO) -> RecordSummary:
    """Summarize a verified stream from its current position. Cells need not have been validated."""
    head = verified.head
    experiment_item: ExperimentItem | None = None
    trials, revisions = Counter[str](), _Specifications()
    for item in record.items(source):
        if isinstance(item, ExperimentItem | RevisionItem):
            revisions.add(bytes(item.specification), bytes(item.launch))
        if isinstance(item, ExperimentItem):
            experiment_item = item
        elif isinstance(item, TrialItem):
            trials[item.state.value] += 1
    return RecordSummary(
        digest=verified.digest,
        experiment=head.experiment,
        handle=head.handle,
        name=_text(experiment_item.name if experiment_item else ""),
        owner=_text(experiment_item.owner if experiment_item else ""),
        state=experiment_item.state.value if experiment_item else "",
        written_by=head.software,
        trials=dict(trials.most_common(_MAX_SHOWN)),
        attempts=verified.counts.get("attempt", 0),
        files=len(head.files),
        bytes=sum(head.files.values()),
        commands=list(revisions.commands),
        images=list(revisions.images),
        secrets=list(revisions.secrets),
        volumes=list(revisions.volumes),
        links=list(revisions.links),
    )


class _Specifications:
    """Distinct commands, images, secrets, volumes and links of all revisions, in order."""

    def __init__(self) -> None:
        self.commands, self.images = dict[str, None](), dict[str, None]()
        self.secrets, self.volumes, self.links = dict[str, None](), dict[str, None](), dict[str, None]()

    def add(self, specification: bytes, launch: bytes) -> None:
        """Add the commands and resources of a specification and its launch; unreadable ones are listed as such."""
        try:
            if max(len(specification), len(launch)) > _MAX_PARSED:
                raise ValueError("too long")
            self._add(json.loads(specification))
            self._add_links(json.loads(launch) or {})
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            _note(self.commands, "(cannot be parsed)")

    def _add(self, specification: Mapping[str, object]) -> None:
        run, placement = specification.get("run"), specification.get("placement") or {}
        _note(self.commands, " ".join(map(str, run)) if isinstance(run, list) else _text(run))
        if not isinstance(placement, dict):
            raise TypeError("a placement is an object")
        if placement.get("image"):
            _note(self.images, placement["image"])
        for volume in placement.get("volumes") or ():
            _note(self.volumes, f"{volume.get('claim') or volume.get('path')} at {volume.get('mount')}")
        secrets = specification.get("secrets") or []
        if not isinstance(secrets, list):
            raise TypeError("secrets are a list")
        for secret in secrets:
            _note(self.secrets, f"{secret['name']} from {secret['source']}")

    def _add_links(self, launch: Mapping[str, object]) -> None:
        root, links = launch.get("root"), launch.get("links") or []
        if not isinstance(links, list):
            raise TypeError("links are a list")
        for link in links if root else ():
            _note(self.links, f"{root}/{link}")


def _note(texts: dict[str, None], text: object) -> None:
    if len(texts) < _MAX_SHOWN:
        texts[_text(text)] = None
    elif _text(text) not in texts:
        texts["…"] = None


def _text(value: object, limit: int = _MAX_TEXT) -> str:
    text = value if isinstance(value, str) else repr(value)
    suffix = f"… ({len(text):,} characters)" if len(text) > limit else ""
    return "".join(character if character.isprintable() else " " for character in text[:limit]) + suffix

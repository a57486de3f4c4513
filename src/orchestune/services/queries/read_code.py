"""The code of trials: the files of a bundle, and the differences between two trials."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from orchestune import documents
from orchestune.bundles.compare import compare
from orchestune.bundles.unpack import MAX_TEXT_FILE_BYTES, Archive, ArchiveMember, as_text, contents, members
from orchestune.domain import differences
from orchestune.domain.differences import ComparedTrial
from orchestune.domain.lifecycle.ids import split_reference
from orchestune.domain.search.parameters import Value
from orchestune.domain.specification.command_channels import ConstantTemplate
from orchestune.errors import BadInput, NotFound
from orchestune.services.bundles import blob_key
from orchestune.services.core import Core
from orchestune.services.memory.lru_cache import Recent
from orchestune.services.queries.read_experiments import specification, status
from orchestune.services.queries.read_trials import trial
from orchestune.store import blobs, experiments
from orchestune.worker.files.constants import lines as constant_lines
from orchestune.worker.files.split_texts import length

_MAX_FILES = 5000
"""Upper bound of the listed files of a bundle."""
_MAX_KEPT = 64 * 2**20
"""Upper bound of the bytes of all cached members: those of one bundle with 100,000 files take 40 MiB and more."""
_MEMBER_BYTES = 400  # of a short path, measured
_MAX_CONSTANTS = 2**18
"""Upper bound of the characters of a trial's lines with constants: each has the path, and long values many times."""


def _size(files_of_bundle: Mapping[str, ArchiveMember] | BadInput) -> int:
    """Return the approximate size in memory, in bytes."""
    if isinstance(files_of_bundle, BadInput):
        return _MEMBER_BYTES
    return sum(_MEMBER_BYTES + len(path) + len(member.content) for path, member in files_of_bundle.items())


_MEMBERS: Recent[dict[str, ArchiveMember] | BadInput] = Recent(most=_MAX_KEPT, size=_size)
"""by digest; also the error of a bundle that cannot be inspected, since finding out may take as long"""


def code(core: Core, ref: str, number: int | None) -> documents.Code:
    """Return the files in the bundle of trial `number`; with None, in that of the next trial."""
    digest = _digest(core, ref, number)
    if digest is None:
        return {"bundle": None, "size": None, "files": [], "more": False}
    files_of_bundle = _members(core, digest)
    with core.store.reading() as session:
        blob = blobs.get(session, digest)
    files: list[documents.CodeMember] = [
        {
            "path": path,
            "kind": member.kind,
            "size": member.size,
            "target": member.content if member.kind == "link" else None,
        }
        for path, member in sorted(files_of_bundle.items())[:_MAX_FILES]
    ]
    return {
        "bundle": digest,
        "size": blob.size if blob else None,
        "files": files,
        "more": len(files_of_bundle) > _MAX_FILES,
    }


def text(core: Core, ref: str, number: int | None, path: str) -> documents.CodeFile:
    """Return the content of one file; `text` is None if it is not text or too large. Raises NotFound if absent."""
    digest = _digest(core, ref, number)
    member = _members(core, digest).get(path) if digest else None
    if digest is None or member is None or member.kind == "link":
        raise NotFound(f"the code has no file '{path}'")
    content = contents(_archive(core, digest), {path}).get(path) if member.size <= MAX_TEXT_FILE_BYTES else None
    return {"path": path, "size": member.size, "text": None if content is None else as_text(content)}


def diff(core: Core, old: str, new: str) -> documents.Difference:
    """Return the differences between two trials, each `EXP/N`; the code changes lead from `old` to `new`."""
    one, other = _side(core, old, "old"), _side(core, new, "new")
    before, after = (_archive(core, side.trial["bundle"]) if side.trial["bundle"] else None for side in (one, other))
    changes = [] if one.trial["bundle"] == other.trial["bundle"] else compare(before, after)
    return differences.document(one, other, [change.to_json() for change in changes])


def _side(core: Core, name: str, key: str) -> ComparedTrial:
    try:
        ref, number = split_reference(name)
    except ValueError as exc:
        raise BadInput.one(str(exc), key=key) from exc
    if not ref or number is None or number >= 2**31:
        raise BadInput.one(f"invalid trial: '{name}' (expected such as sgd-7f3a/12)", key=key)
    compared = trial(core, ref, number)
    document = specification(core, ref, compared["revision"])
    template = ConstantTemplate.from_json(document["specification"].get("constants"))
    constants = _constants(template, compared["parameters"]) if template is not None else {}
    return ComparedTrial(status(core, ref), compared, document, constants)


def _constants(template: ConstantTemplate, parameters: Mapping[str, Value]) -> dict[str, str]:
    """Return the lines with constants of one trial, none if they are too long; the parameters are compared anyway."""
    document = template.to_json()
    sizes = (len(template.path) + length(line["parts"], parameters) for line in document["lines"])
    return {} if sum(sizes) > _MAX_CONSTANTS else constant_lines(document, parameters)


def _digest(core: Core, ref: str, number: int | None) -> str | None:
    if number is not None:
        bundle: str | None = trial(core, ref, number)["bundle"]
        return bundle
    with core.store.reading() as session:
        return experiments.find(session, ref).bundle


def _members(core: Core, digest: str) -> dict[str, ArchiveMember]:
    inspected = _MEMBERS.get(digest, digest, partial(_inspected, _archive(core, digest)))
    if isinstance(inspected, BadInput):
        raise BadInput(inspected.problems)
    return inspected


def _inspected(archive: Archive) -> dict[str, ArchiveMember] | BadInput:
    try:
        return members(archive)
    except BadInput as exc:
        return exc


def _archive(core: Core, digest: str) -> Archive:
    with core.store.reading() as session:
        if blobs.get(session, digest) is None:
            raise NotFound(f"the code was deleted ({digest[:12]})")
    return partial(core.files.open, blob_key(digest))

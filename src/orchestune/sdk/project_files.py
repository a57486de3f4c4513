"""The files of a folder that go with an experiment: packed, linked, or separate for each trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestune.domain.specification.code import CodeSettings
from orchestune.domain.specification.experiment import Specification
from orchestune.domain.words import some
from orchestune.sdk.submitting import escaped, files_of_secrets, ours


@dataclass(frozen=True)
class ProjectFiles:
    """The listing of a folder's code for an experiment."""

    ignore: tuple[str, ...]
    """patterns of files that are not packed: those of the experiment file, private files, and files that each trial has
    of its own"""
    files: int
    size: int
    """size of the code in bytes, before packing"""
    links: tuple[str, ...]
    """paths that are not packed but linked on this machine"""
    own: tuple[str, ...]
    """paths that would be linked if `keep` did not name them"""
    secrets: tuple[str, ...] = ()
    """files that are not packed because they contain secrets"""


def list_project(specification: Specification, folder: Path, code: CodeSettings) -> ProjectFiles:
    """List the code of a folder. Raises the errors of `bundles.listing.plan`."""
    from orchestune.bundles.listing import plan  # pathspec is slow to import, and only needed here
    from orchestune.bundles.unlinked import divide

    private_sources = [source.private for source in specification.collect if source.private]
    ignore = [*code.ignore, *files_of_secrets(specification, folder), *(f"/{path}" for path in private_sources)]
    listing = plan(folder, ignore, code.limit, ours(code))
    unpacked = [
        path for path in listing.left_out if not any(f"{one}/".startswith(f"{path}/") for one in private_sources)
    ]
    divided = divide(folder, unpacked, specification.keep.patterns)
    for path in map(escaped, divided.folders):  # packed as empty folders, so that trials can write into them
        ignore += [f"!/{path}/", f"/{path}/*"]
    return ProjectFiles(tuple(ignore), listing.files, listing.size, divided.linked, divided.own, listing.secrets)


def note_of_secrets(secrets: Sequence[str]) -> str:
    """Build the warning about files that are not packed because they contain secrets."""
    return (
        f"not packed because of secrets: {some(secrets, 3)}; pass their values to trials with `secrets:`, or add"
        f" `!{secrets[0]}` to `ignore` under `code:` to pack it anyway"
    )

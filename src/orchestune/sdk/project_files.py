"""The files of a project that go with an experiment: packed, linked, or separate for each trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestune.domain.specification.code import CodeSettings
from orchestune.domain.specification.experiment import Specification
from orchestune.domain.words import brief_list
from orchestune.errors import BadInput, TooLarge
from orchestune.sdk.submitting import escaped, files_of_secrets, ours

if TYPE_CHECKING:  # pathspec is slow to import, and only needed to list a folder
    from orchestune.bundles.listing import Listing


@dataclass(frozen=True)
class ProjectFiles:
    """The listing of a project's code for an experiment."""

    root: Path
    """folder that is packed"""
    code: CodeSettings
    """the settings; `folder` is empty if the working folder is ignored, since it is then packed by itself"""
    ignore: tuple[str, ...]
    """patterns of files that are not packed: those of the experiment file, private files, files that each trial has of
    its own, and large or outside data"""
    files: int
    size: int
    """size of the code in bytes, before packing"""
    links: tuple[str, ...]
    """paths that are not packed but linked on this machine"""
    own: tuple[str, ...]
    """paths that would be linked if `keep` did not name them"""
    secrets: tuple[str, ...]
    """files that are not packed because they contain secrets"""
    large: Mapping[str, int]
    """bytes of the linked paths that are only too large to be packed"""
    outside: tuple[str, ...]
    """linked symbolic links that lead out of the project"""
    unpackable: BadInput | TooLarge | None
    """error for places that need all files in the bundle, if there is anything in `large` or `outside`"""


def list_project(specification: Specification, root: Path, code: CodeSettings) -> ProjectFiles:
    """List the code of a project. Raises the errors of `bundles.listing.survey`, and TooLarge if not data is too large.

    A working folder that the project ignores is a project of its own.
    """
    from orchestune.bundles.listing import survey  # as above

    working_folder, prefix = root / code.folder, f"{code.folder}/" if code.folder else ""
    private = [f"{prefix}{source.private}" for source in specification.collect if source.private]
    ignore = [*code.ignore, *files_of_secrets(specification, working_folder, root), *(f"/{path}" for path in private)]
    listing = survey(root, ignore, ours(code))
    if code.folder and not any(entry.path == code.folder for entry in listing.entries):
        return list_project(specification, working_folder, replace(code, folder=""))
    return _divided(specification, root, code, ignore, listing, private)


def _divided(
    specification: Specification,
    root: Path,
    code: CodeSettings,
    ignore: Sequence[str],
    listing: Listing,
    private: Sequence[str],
) -> ProjectFiles:
    """Divide the files into packed ones, linked ones and those that each trial has of its own."""
    from orchestune.bundles.large import large_data, without  # as above
    from orchestune.bundles.listing import unpackable
    from orchestune.bundles.unlinked import divide

    prefix = f"{code.folder}/" if code.folder else ""
    large = large_data(listing.entries, code.limit, code.folder)
    outside = [
        problem.file for problem in listing.outside if not any(problem.file.startswith(f"{path}/") for path in large)
    ]
    packed = replace(listing, entries=without(listing.entries, [*large]), outside=())
    if error := unpackable(packed, code.limit):
        raise error
    unpacked = [
        path
        for path in (*listing.left_out, *large, *outside)
        if not any(f"{one}/".startswith(f"{path}/") for one in private)
    ]
    below = [path.removeprefix(prefix) for path in unpacked if path.startswith(prefix)]
    divided = divide(root / code.folder, below, specification.keep.patterns)
    linked, own, folders = (
        tuple(f"{prefix}{path}" for path in paths) for paths in (divided.linked, divided.own, divided.folders)
    )
    patterns = [*ignore, *(f"/{escaped(path)}" for path in (*large, *outside))]
    for path in map(escaped, folders):  # packed as empty folders, so that trials can write into them
        patterns += [f"!/{path}/", f"/{path}/*"]
    links = tuple(sorted((*linked, *(path for path in unpacked if not path.startswith(prefix)))))
    return ProjectFiles(
        root,
        code,
        tuple(patterns),
        packed.files,
        packed.size,
        links,
        own,
        listing.secrets,
        large,
        tuple(outside),
        unpackable(listing, code.limit),
    )


def note_of_secrets(secrets: Sequence[str]) -> str:
    """Build the warning about files that are not packed because they contain secrets."""
    return (
        f"not packed because of secrets: {brief_list(secrets, 3)}; pass their values to trials with `secrets:`, or add"
        f" `!{secrets[0]}` to `ignore` under `code:` to pack it anyway"
    )

"""What of a folder goes along with an experiment: what is packed, what is linked, what each trial has of its own."""

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
    """A folder's code, listed for an experiment."""

    ignore: tuple[str, ...]
    """patterns of what is not packed: the file's, of what nobody else may see, and of what is a trial's own"""
    files: int
    size: int
    """bytes of the code, not packed"""
    links: tuple[str, ...]
    """what is not packed but linked on this machine"""
    own: tuple[str, ...]
    """what would be linked, did `keep` not name it"""
    secrets: tuple[str, ...] = ()
    """what is not packed since it holds secrets"""


def taken(specification: Specification, folder: Path, code: CodeSettings) -> ProjectFiles:
    """List the code. Raises what `bundles.listing.plan` does."""
    from orchestune.bundles.listing import plan  # pathspec is slow to import, and only needed here
    from orchestune.bundles.unlinked import divide

    read = [source.private for source in specification.collect if source.private]
    ignore = [*code.ignore, *files_of_secrets(specification, folder), *(f"/{path}" for path in read)]
    listing = plan(folder, ignore, code.limit, ours(code))
    found = [path for path in listing.left_out if not any(f"{one}/".startswith(f"{path}/") for one in read)]
    divided = divide(folder, found, specification.keep.patterns)
    for path in map(escaped, divided.folders):  # packed without what is in them, so that trials have them to write into
        ignore += [f"!/{path}/", f"/{path}/*"]
    return ProjectFiles(tuple(ignore), listing.files, listing.size, divided.linked, divided.own, listing.secrets)


def note_of_secrets(secrets: Sequence[str]) -> str:
    """Say what is not packed since it holds secrets, and how trials get what they need of it."""
    return (
        f"not packed, as it holds secrets: {some(secrets, 3)}; give trials their values by `secrets:`, or add"
        f" `!{secrets[0]}` to `ignore` under `code:` to pack it all the same"
    )

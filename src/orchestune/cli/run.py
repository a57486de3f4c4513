"""`run`: start the experiment of a file and follow it."""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestune.cli.console import Console
from orchestune.cli.follow import follow
from orchestune.cli.parser import Commands, add_command
from orchestune.cli.plan import plan_lines
from orchestune.client.launch import environment, folder_key, owner, secret_values
from orchestune.domain.experiment import Specification
from orchestune.errors import UsageError

DEFAULT_FILE = Path("experiment.yml")


@dataclass(frozen=True)
class Prepared:
    """A checked experiment file and what its code is."""

    specification: Specification
    notes: tuple[str, ...]
    folder: Path
    ignore: tuple[str, ...]
    limit: int
    """bytes that the code may have"""
    files: int
    size: int
    """bytes of the code, not packed"""
    links: tuple[str, ...]
    """what is not packed but linked on this machine"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "run",
        run,
        help="start the experiment of a file and follow it",
        details="Ctrl-C leaves it running; pressed again within 3 s it stops the experiment.",
        example="orchestune run\norchestune run -f search.yml --set budget=80 --set parallelism=4\n"
        "orchestune run --detach",
    )
    add_file_options(parser)
    parser.add_argument("--detach", "-d", action="store_true", help="do not follow; print the handle alone")
    parser.add_argument("--dry-run", action="store_true", help="print what would happen, and do nothing")
    parser.add_argument(
        "--cluster", default="local", metavar="NAME", help="where to run (only `local`, this machine, for now)"
    )


def add_file_options(parser: argparse.ArgumentParser) -> None:
    """`-f` and `--set`, which `test` has as well."""
    parser.add_argument(
        "-f", "--file", type=Path, default=DEFAULT_FILE, metavar="FILE", help=f"default: {DEFAULT_FILE}"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="replace a value of the file, such as budget=80 or resources.cpu=2; may be repeated",
    )  # fmt: skip


def run(console: Console, args: argparse.Namespace) -> int:
    """Check, pack, upload, start, follow."""
    if args.cluster != "local":
        raise UsageError(f"there is no cluster '{args.cluster}'", "this version runs on this machine: --cluster local")
    prepared = prepare(args.file, args.overrides)
    sources = [(secret.name, secret.source) for secret in prepared.specification.secrets]
    secrets = secret_values(sources, console.environ, prepared.folder)
    if args.dry_run:
        return _dry_run(console, prepared)
    status = console.client.create_experiment(_body(console, prepared, _upload(console, prepared), secrets))
    if args.detach:
        if console.json:
            console.document(status)
        else:
            console.say(status["handle"])
        return 0
    if not console.json:
        console.say(*_heading(console, prepared, status["handle"]), "")
    return follow(console, status)


def prepare(file: Path, overrides: Sequence[str]) -> Prepared:
    """Read and check the file, and list the folder's code. BadInput and TooLarge say what is wrong. Writes nothing."""
    from orchestune.bundles.listing import plan  # pathspec and ruamel.yaml are slow to import, and only needed here
    from orchestune.config.experiment_file import load

    loaded = load(file, overrides)
    folder = loaded.path.resolve().parent
    ignore = (*loaded.code.ignore, *_files_of_secrets(loaded.specification, folder))
    listing = plan(folder, ignore, loaded.code.limit)
    links, notes = listing.left_out, [*loaded.notes]
    if links:
        shown = ", ".join(links[:3]) + (f" and {len(links) - 3} more" if len(links) > 3 else "")
        notes.append(f"linked from this folder, not packed: {shown}; a cluster would not have them")
    return Prepared(
        loaded.specification,
        tuple(notes),
        folder,
        ignore,
        loaded.code.limit,
        listing.files,
        listing.size,
        links,
    )


def _files_of_secrets(specification: Specification, folder: Path) -> list[str]:
    """Patterns of the files in the folder that hold the values of secrets: they must not travel with the code."""
    found = []
    for secret in specification.secrets:
        kind, _, place = secret.source.partition(":")
        path = os.path.abspath(folder / Path(place).expanduser())
        for named in {path, os.path.realpath(path)} if kind == "file" else ():
            inside = os.path.relpath(named, folder)
            if not inside.startswith(os.pardir + os.sep):
                found.append("/" + re.sub(r"([\\*?\[\]!# ])", r"\\\1", inside))
    return sorted(found)


def _upload(console: Console, prepared: Prepared) -> str:
    """Pack the code and send it, unless the server has it; its digest."""
    from orchestune.bundles.pack import pack  # as above

    with tempfile.TemporaryDirectory(prefix="orchestune-") as scratch:
        bundle = pack(prepared.folder, prepared.ignore, prepared.limit, Path(scratch))
        console.client.upload_bundle(bundle.digest, bundle.path)
    return bundle.digest


def launch(console: Console, folder: Path | None, links: Sequence[str]) -> dict[str, Any]:
    """What the trials get of this shell and this folder."""
    return {"env": environment(console.environ), "root": os.fspath(folder) if folder else None, "links": list(links)}


def _body(console: Console, prepared: Prepared, digest: str, secrets: dict[str, str]) -> dict[str, Any]:
    return {
        "specification": prepared.specification.to_json(),
        "bundle": digest,
        "cluster": "local",
        "folder": folder_key(prepared.folder),
        "owner": owner(console.environ),
        "launch": launch(console, prepared.folder, prepared.links),
        "secrets": secrets,
    }


def _heading(console: Console, prepared: Prepared, handle: str) -> list[str]:
    paint = console.paint
    lines = plan_lines(prepared.specification, prepared.notes, (prepared.files, prepared.size), paint)
    return [f"{paint.bold(handle)}  {prepared.specification.name}".strip(), *lines]


def _dry_run(console: Console, prepared: Prepared) -> int:
    specification = prepared.specification
    if console.json:
        console.document(
            {
                "schema": 1,
                "specification": specification.to_json(),
                "notes": list(prepared.notes),
                "code": {"files": prepared.files, "size": prepared.size, "links": list(prepared.links)},
            }
        )
        return 0
    console.say(*_heading(console, prepared, "dry run"), "", "nothing was started; without --dry-run it would be")
    return 0

"""`run`: start the experiment of a file and follow it."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestune.cli import destination
from orchestune.cli.console import Console
from orchestune.cli.parser import Commands, add_command
from orchestune.cli.plan import plan_lines
from orchestune.cli.preparing import Prepared, add_file_options, prepare
from orchestune.cli.starting import add_detach_option, started
from orchestune.client.launch import folder_key, owner, secret_values


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
    add_detach_option(parser)
    parser.add_argument("--dry-run", action="store_true", help="print what would happen, and do nothing")


def run(console: Console, args: argparse.Namespace) -> int:
    """Check, pack, upload, start, follow."""
    place = console.place
    prepared = prepare(args.file, args.overrides)
    destination.need_image(place, prepared)
    prepared = replace(prepared, notes=(*prepared.notes, *destination.notes(place, prepared)))
    sources = [(secret.name, secret.source) for secret in prepared.specification.secrets]
    secrets = secret_values(sources, console.environ, prepared.folder)
    if args.dry_run:
        return _dry_run(console, prepared)
    body = _body(console, prepared, _upload(console, prepared), secrets)
    status = console.client.create_experiment(body)
    return started(console, status, _heading(console, prepared, status["handle"]), body["folder"], detach=args.detach)


def _upload(console: Console, prepared: Prepared) -> str:
    """Pack the code and send it, unless the server has it; its digest."""
    from orchestune.bundles.pack import pack  # pathspec is slow to import, and only needed here

    with tempfile.TemporaryDirectory(prefix="orchestune-") as scratch:
        bundle = pack(prepared.folder, prepared.ignore, prepared.limit, Path(scratch))
        console.client.upload_bundle(bundle.digest, bundle.path)
    return bundle.digest


def _body(console: Console, prepared: Prepared, digest: str, secrets: dict[str, str]) -> dict[str, Any]:
    return {
        "specification": prepared.specification.to_json(),
        "bundle": digest,
        **destination.named(console.place),
        "folder": folder_key(prepared.folder),
        **_owner(console),
        "launch": destination.launch(console, console.place, prepared.folder, prepared.links),
        "secrets": secrets,
    }


def _owner(console: Console) -> dict[str, str]:
    """A cluster knows its users by their own names, which travel with each request."""
    known = console.place.cluster is not None and console.place.cluster.user
    return {} if known else {"owner": owner(console.environ)}


def _heading(console: Console, prepared: Prepared, handle: str) -> list[str]:
    paint = console.paint
    place = console.place
    where = [("where", destination.in_words(place))]
    if destination.in_images(place):
        where.append(("image", destination.image_in_words(prepared) or "the default one of the cluster"))
    lines = plan_lines(prepared.specification, prepared.notes, (prepared.files, prepared.size), paint, where)
    return [f"{paint.bold(handle)}  {prepared.specification.name}".strip(), *lines]


def _dry_run(console: Console, prepared: Prepared) -> int:
    from orchestune.cli.foreseeing import foresee  # engines and backends, which no other command needs

    specification = prepared.specification
    unknown = foresee(specification, console.place, console.environ)
    if console.json:
        console.document(
            {
                "schema": 1,
                "specification": specification.to_json(),
                "notes": [*prepared.notes, *unknown],
                "code": {"files": prepared.files, "size": prepared.size, "links": list(prepared.links)},
            }
        )
        return 0
    prepared = replace(prepared, notes=(*prepared.notes, *unknown))
    console.say(*_heading(console, prepared, "dry run"), "", "nothing was started; without --dry-run it would be")
    return 0

"""The experiment file and the folder's code, checked and listed, before anything is sent anywhere."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestune.cli.parser import add_cluster
from orchestune.domain.experiment import Specification

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
    install: tuple[str, ...] = ()
    """commands that make the image"""
    dockerfile: str | None = None
    """a Dockerfile that makes it, relative to the folder"""


def add_file_options(parser: argparse.ArgumentParser) -> None:
    """`-f`, `--set` and `--cluster`, which `test` has as well."""
    parser.add_argument(
        "-f", "--file", type=Path, default=DEFAULT_FILE, metavar="FILE", help=f"default: {DEFAULT_FILE}"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="replace a value of the file, such as budget=80 or resources.cpu=2; may be repeated",
    )  # fmt: skip
    add_cluster(parser, "where to run: local, docker or a connected one (default: the default one)")


def prepare(file: Path, overrides: Sequence[str]) -> Prepared:
    """Read and check the file, and list the folder's code. BadInput and TooLarge say what is wrong. Writes nothing."""
    from orchestune.bundles.listing import plan  # pathspec and ruamel.yaml are slow to import, and only needed here
    from orchestune.config.experiment_file import load

    loaded = load(file, overrides)
    folder = loaded.path.resolve().parent
    ignore = (*loaded.code.ignore, *_files_of_secrets(loaded.specification, folder))
    listing = plan(folder, ignore, loaded.code.limit)
    return Prepared(
        loaded.specification,
        loaded.notes,
        folder,
        ignore,
        loaded.code.limit,
        listing.files,
        listing.size,
        listing.left_out,
        loaded.build.install,
        loaded.build.dockerfile,
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

"""Dockerfiles: the one that `install:` means, and what a user's own one builds on and takes from its folder. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from orchestune.errors import BadInput, Problem

FOLDER = "/orchestune-install"
"""where install commands run, beside the files that they name"""
_FROM_OPTION = re.compile(r"--from=(?P<image>\S+)")


@dataclass(frozen=True)
class Source:
    """Something that a COPY or ADD takes from the folder."""

    path: str
    line: int
    text: str
    """the instruction, for messages"""


def for_install(base: str, commands: Sequence[str], files: Sequence[str], user: str = "") -> str:
    """The Dockerfile of `install:` commands over an image by digest; each command is a step of its own.

    `user` is whom the image runs as, where that is not root: installing is done as root.
    """
    lines = [f"FROM {base}"]
    if user:
        lines.append("USER 0")
    lines.append(f"WORKDIR {FOLDER}")
    for name in sorted(files):
        lines.append(f"COPY {json.dumps([name, f'{FOLDER}/{name}'])}")
    lines += [f"RUN {json.dumps(['/bin/sh', '-ec', command])}" for command in commands]
    lines.append("WORKDIR /")
    if user:
        lines.append(f"USER {user}")
    return "\n".join(lines) + "\n"


def after_dockerfile(text: str, commands: Sequence[str], files: Sequence[str]) -> str:
    """`install:` commands on top of a user's own Dockerfile."""
    if not commands:
        return text
    own = for_install("", commands, files).partition("\n")[2]
    return text.rstrip("\n") + "\n" + own


def bases(text: str, file: str = "Dockerfile") -> list[str]:
    """The images that it takes from outside, each once, as it names them. BadInput when it names none at all."""
    found: dict[str, None] = {}
    for _, image in _outside(text, file):
        found.setdefault(image)
    return list(found)


def pin(text: str, digests: Mapping[str, str], file: str = "Dockerfile") -> str:
    """The same Dockerfile with each image from outside by its digest."""
    lines = text.splitlines(keepends=True)
    for entry, image in _outside(text, file):
        for number in range(entry["startline"], entry["endline"] + 1):
            lines[number] = lines[number].replace(_spelling(entry), digests[image], 1)
    return "".join(lines)


def sources(text: str, file: str = "Dockerfile") -> list[Source]:
    """What it takes from its folder, in its order; not what comes from other images or from the network."""
    found = []
    for entry in _structure(text):
        if entry["instruction"] not in ("COPY", "ADD") or _FROM_OPTION.search(entry["value"]):
            continue
        for word in _words(entry, file)[:-1]:
            if "://" not in word and not word.startswith("<<") and not word.startswith("git@"):
                found.append(Source(word, entry["startline"] + 1, entry["content"].strip()))
    return found


def _words(entry: Mapping[str, Any], file: str) -> list[str]:
    """The arguments of a COPY, without its options."""
    value = re.sub(r"^(?:--\S+\s+)+", "", entry["value"])
    try:
        words = json.loads(value) if value.startswith("[") else shlex.split(value)
    except ValueError as exc:
        raise _wrong(file, entry, "cannot be read") from exc
    return [str(word) for word in words]


def _outside(text: str, file: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Instructions that name an image from outside, and its name."""
    parser = _parser(text)
    structure, parents = parser.structure, list(parser.parent_images)
    stages: list[str] = []
    if not any(entry["instruction"] == "FROM" for entry in structure):
        raise BadInput([Problem("names no image to build on", file=file, hint="it needs a line FROM IMAGE")])
    for entry in structure:
        if entry["instruction"] == "FROM":
            image = parents.pop(0) if parents else ""
            if "$" in image or not image or image.endswith((":", "/", "@")):
                raise _wrong(file, entry, "names an image that is not known before the build")
            if image != "scratch" and image.lower() not in stages:
                yield entry, image
            name = re.search(r"\s+as\s+(\S+)\s*$", entry["value"], re.IGNORECASE)
            stages.append(name[1].lower() if name else "")
        elif entry["instruction"] in ("COPY", "ADD") and (option := _FROM_OPTION.search(entry["value"])):
            image = option["image"]
            if "$" not in image and not image.isdigit() and image.lower() not in stages:
                yield entry, image


def _spelling(entry: Mapping[str, Any]) -> str:
    """How an instruction writes its image, variables and all."""
    if entry["instruction"] == "FROM":
        return next(word for word in str(entry["value"]).split() if not word.startswith("--"))
    option = _FROM_OPTION.search(entry["value"])
    return option["image"] if option else ""


def _structure(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _parser(text).structure
    return found


def _parser(text: str) -> Any:
    from dockerfile_parse import DockerfileParser  # only where an image is built

    return DockerfileParser(fileobj=BytesIO(text.encode("utf-8")), build_args={}, env_replace=True)


def _wrong(file: str, entry: Mapping[str, Any], why: str) -> BadInput:
    line = entry["startline"] + 1
    return BadInput([Problem(f"{str(entry['content']).strip()!r} {why}", file=file, line=line)])

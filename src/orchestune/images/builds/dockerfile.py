"""Dockerfiles: generation for `install:`, and analysis of a user's own. Pure functions."""

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
"""working directory of install commands, with the files that they name"""
_FROM_OPTION = re.compile(r"--from=(?P<image>\S+)")
_OPTIONS = re.compile(r"(?:--\S+\s+)*")
_INLINE = re.compile(r"(?<!\S)\d*<<(?P<tabs>-?)(?P<quote>[\"']?)(?P<word>\w+)(?P=quote)(?!\S)")
"""start of a here-document, which ends at a line with that word: `RUN <<EOF`"""
_VARIABLE = re.compile(r"\$(?:(?P<plain>\w+)|\{(?P<name>\w+)(?::(?P<sign>[-+])(?P<word>[^}]*))?\})")
_OF_THE_BUILD = re.compile(r"(?:TARGET|BUILD)(?:PLATFORM|OS|ARCH|VARIANT)")
"""variables that the builder sets"""
_WITH_TEXT = ("ADD", "COPY", "RUN")


@dataclass(frozen=True)
class CopySource:
    """A path that a COPY or ADD takes from the folder, or that a RUN mounts from it."""

    path: str
    line: int
    text: str
    """the instruction or option, for messages"""


@dataclass(frozen=True)
class _Outside:
    """An external image that an instruction names."""

    entry: Mapping[str, Any]
    before: str
    """prefix of the name: an option"""
    spelling: str
    """the name as written, with variables"""
    image: str


def for_install(base: str, commands: Sequence[str], files: Sequence[str], user: str = "") -> str:
    """Return the Dockerfile of `install:` commands on top of an image pinned by digest; each command is a separate
    step.

    `user` is the image's user unless that is root: installation runs as root.
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


def after_dockerfile(text: str, commands: Sequence[str], files: Sequence[str], user: str = "") -> str:
    """Append `install:` commands to a user's own Dockerfile; `user` as in `for_install`."""
    if not commands:
        return text
    own = for_install("", commands, files, user).partition("\n")[2]
    return text.rstrip("\n") + "\n" + own


def bases(text: str, file: str = "Dockerfile") -> list[str]:
    """Return the distinct external images, as the Dockerfile names them. Raises BadInput if there is no FROM."""
    found: dict[str, None] = {}
    for named in _outside(text, file):
        found.setdefault(named.image)
    return list(found)


def pin(text: str, digests: Mapping[str, str], file: str = "Dockerfile") -> str:
    """Return the Dockerfile with all external images pinned by digest."""
    lines = text.splitlines(keepends=True)
    for named in _outside(text, file):
        pattern = re.compile(rf"(?<!\S){re.escape(named.before)}{re.escape(named.spelling)}(?![^\s,])")
        for number in range(named.entry["startline"], named.entry["endline"] + 1):
            if found := pattern.search(lines[number]):
                before, after = lines[number][: found.start()], lines[number][found.end() :]
                lines[number] = f"{before}{named.before}{digests[named.image]}{after}"
    return "".join(lines)


def user_of(text: str, users: Mapping[str, str], file: str = "Dockerfile") -> str:
    """Return the image's user, empty for root; `users` has the users of the external images."""
    outside = {named.entry["startline"]: named.image for named in _outside(text, file)}
    stages: dict[str, str] = {}
    user = stage = ""
    for entry in _parser(text).structure:
        if entry["instruction"] == "FROM":
            words = [word for word in str(entry["value"]).split() if not word.startswith("--")]
            user = users.get(outside.get(entry["startline"], ""), stages.get(words[0].lower(), ""))
            stage = words[-1].lower()
        elif entry["instruction"] == "USER":
            user = str(entry["value"]).strip()
        stages[stage] = user
    return unless_root(user)


def unless_root(user: str) -> str:
    """Return `user`, or an empty string for root; the group does not matter."""
    return "" if user.partition(":")[0] in ("", "0", "root") else user


def sources(text: str, file: str = "Dockerfile") -> list[CopySource]:
    """Return the paths taken from the folder, in order, without those from other images or the network."""
    found = []
    for entry in _parser(text).structure:
        line = entry["startline"] + 1
        if entry["instruction"] == "RUN":
            mounts = [(said, mount) for said, mount in _mounts(entry) if not mount.get("from")]
            found += [CopySource(mount.get("source", "."), line, said) for said, mount in mounts]
        if entry["instruction"] not in ("COPY", "ADD") or _FROM_OPTION.search(entry["value"]):
            continue
        for word in _words(entry, file)[:-1]:
            if "://" not in word and not word.startswith("<<") and not word.startswith("git@"):
                found.append(CopySource(word, line, entry["content"].strip()))
    return found


def _mounts(entry: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield a RUN's mounts of the folder, or of another image (`from`): the option's text, and its keys."""
    options = _OPTIONS.match(entry["value"])
    for option in options[0].split() if options else ():
        if option.startswith("--mount="):
            pairs = (pair.partition("=") for pair in option.removeprefix("--mount=").split(","))
            mount = {"source" if key == "src" else key: value for key, _, value in pairs}
            if mount.get("type", "bind") == "bind":
                yield option, mount


def _words(entry: Mapping[str, Any], file: str) -> list[str]:
    """Return the arguments of a COPY, without its options."""
    value = _OPTIONS.sub("", entry["value"], count=1)
    try:
        words = json.loads(value) if value.startswith("[") else shlex.split(value)
    except ValueError as exc:
        raise _wrong(file, entry, "cannot be read") from exc
    return [str(word) for word in words]


def _outside(text: str, file: str) -> Iterator[_Outside]:
    """Yield the external images that instructions name."""
    structure = _parser(text).structure
    stages: list[str] = []
    defaults: dict[str, str] = {}
    if not any(entry["instruction"] == "FROM" for entry in structure):
        raise BadInput([Problem("names no image to build on", file=file, hint="it needs a line FROM IMAGE")])
    for entry in structure:
        if entry["instruction"] == "ARG" and not stages:
            _take_defaults(entry, file, defaults)
        elif entry["instruction"] == "FROM":
            spelling = next((word for word in str(entry["value"]).split() if not word.startswith("--")), "")
            image = _expanded(spelling, defaults)
            if "$" in image or not image or image.endswith((":", "/", "@")):
                raise _wrong(file, entry, "names an image that is not known before the build")
            if image != "scratch" and image.lower() not in stages:
                yield _Outside(entry, "", spelling, image)
            name = re.search(r"\s+as\s+(\S+)\s*$", entry["value"], re.IGNORECASE)
            stages.append(name[1].lower() if name else "")
        else:
            for before, image in _taken_from(entry):
                if "$" not in image and not image.isdigit() and image.lower() not in stages:
                    yield _Outside(entry, before, image, image)


def _take_defaults(entry: Mapping[str, Any], file: str, defaults: dict[str, str]) -> None:
    """Add the default of an ARG before the first FROM; one without a default is empty, or keeps its earlier value."""
    for word in _words(entry, file):
        name, equals, value = word.partition("=")
        if equals:
            defaults[name] = _expanded(value, defaults)


def _expanded(text: str, defaults: Mapping[str, str]) -> str:
    """Expand variables, including `${V:-other}` and `${V:+other}`. Variables that the builder sets are kept."""

    def value(found: re.Match[str]) -> str:
        name, word = found["plain"] or found["name"], found["word"] or ""
        if name not in defaults and _OF_THE_BUILD.fullmatch(name):
            return found[0]
        said = defaults.get(name, "")
        if found["sign"] == "+":
            return word if said else ""
        return said or word

    return _VARIABLE.sub(value, text)


def _taken_from(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the images or stages that a COPY, ADD or RUN takes files from, with the text before their names."""
    if entry["instruction"] == "RUN":
        named = [(said, mount["from"]) for said, mount in _mounts(entry) if mount.get("from")]
        return [(f"{said.partition(f'from={image}')[0]}from=", image) for said, image in named]
    option = _FROM_OPTION.search(entry["value"]) if entry["instruction"] in ("COPY", "ADD") else None
    return [("--from=", option["image"])] if option else []


def _parser(text: str) -> Any:
    from dockerfile_parse import DockerfileParser  # imported on demand, only for builds

    plain = _without_texts(text).encode("utf-8")
    return DockerfileParser(fileobj=BytesIO(plain), build_args={}, env_replace=True)


def _without_texts(text: str) -> str:
    """Return the lines with here-documents (`RUN <<EOF`) replaced by empty lines."""
    lines, instruction = [], ""
    waiting: list[re.Match[str]] = []
    for line in text.splitlines(keepends=True):
        if waiting:
            ends = line.rstrip("\r\n")
            if (ends.lstrip("\t") if waiting[0]["tabs"] else ends) == waiting[0]["word"]:
                waiting.pop(0)
            lines.append("\n")
            continue
        lines.append(line)
        if line.lstrip().startswith("#"):
            continue
        instruction += line
        if not line.rstrip().endswith("\\"):
            words = instruction.split(maxsplit=1)
            if words and words[0].upper() in _WITH_TEXT:
                waiting = list(_INLINE.finditer(instruction))
            instruction = ""
    return "".join(lines)


def _wrong(file: str, entry: Mapping[str, Any], why: str) -> BadInput:
    line = entry["startline"] + 1
    return BadInput([Problem(f"{str(entry['content']).strip()!r} {why}", file=file, line=line)])

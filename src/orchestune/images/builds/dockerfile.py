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
_HERE_DOCUMENT = re.compile(r"(?<!\S)\d*<<(?P<tabs>-?)(?P<quote>[\"']?)(?P<word>\w+)(?P=quote)(?!\S)")
"""start of a here-document, which ends at a line with that word: `RUN <<EOF`"""
_VARIABLE = re.compile(r"\$(?:(?P<plain>\w+)|\{(?P<name>\w+)(?::(?P<sign>[-+])(?P<word>[^}]*))?\})")
_BUILDER_VARIABLE = re.compile(r"(?:TARGET|BUILD)(?:PLATFORM|OS|ARCH|VARIANT)")
"""variables that the builder sets"""
_HERE_DOCUMENT_INSTRUCTIONS = ("ADD", "COPY", "RUN")


@dataclass(frozen=True)
class CopySource:
    """A path that a COPY or ADD takes from the folder, or that a RUN mounts from it."""

    path: str
    line: int
    text: str
    """the instruction or option, for messages"""


@dataclass(frozen=True)
class _ExternalImage:
    """An external image that an instruction names."""

    entry: Mapping[str, Any]
    before: str
    """prefix of the name: an option"""
    spelling: str
    """the name as written, with variables"""
    image: str


def for_install(base: str, commands: Sequence[str], files: Sequence[str], user: str = "") -> str:
    """Return the Dockerfile of `install:` commands on top of an image pinned by digest.

    Each command is a separate step.

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
    install_steps = for_install("", commands, files, user).partition("\n")[2]
    return text.rstrip("\n") + "\n" + install_steps


def bases(text: str, file: str = "Dockerfile") -> list[str]:
    """Return the distinct external images, as the Dockerfile names them. Raises BadInput if there is no FROM."""
    images: dict[str, None] = {}
    for external in _external_images(text, file):
        images.setdefault(external.image)
    return list(images)


def pin(text: str, digests: Mapping[str, str], file: str = "Dockerfile") -> str:
    """Return the Dockerfile with all external images pinned by digest."""
    lines = text.splitlines(keepends=True)
    for external in _external_images(text, file):
        pattern = re.compile(rf"(?<!\S){re.escape(external.before)}{re.escape(external.spelling)}(?![^\s,])")
        for number in range(external.entry["startline"], external.entry["endline"] + 1):
            if match := pattern.search(lines[number]):
                before, after = lines[number][: match.start()], lines[number][match.end() :]
                lines[number] = f"{before}{external.before}{digests[external.image]}{after}"
    return "".join(lines)


def user_of(text: str, users: Mapping[str, str], file: str = "Dockerfile") -> str:
    """Return the image's user, empty for root; `users` has the users of the external images."""
    external_images = {external.entry["startline"]: external.image for external in _external_images(text, file)}
    stages: dict[str, str] = {}
    user = stage = ""
    for entry in _parser(text).structure:
        if entry["instruction"] == "FROM":
            words = [word for word in str(entry["value"]).split() if not word.startswith("--")]
            user = users.get(external_images.get(entry["startline"], ""), stages.get(words[0].lower(), ""))
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
    copy_sources = []
    for entry in _parser(text).structure:
        line = entry["startline"] + 1
        if entry["instruction"] == "RUN":
            mounts = [(option_text, mount) for option_text, mount in _mounts(entry) if not mount.get("from")]
            copy_sources += [CopySource(mount.get("source", "."), line, option_text) for option_text, mount in mounts]
        if entry["instruction"] not in ("COPY", "ADD") or _FROM_OPTION.search(entry["value"]):
            continue
        for word in _words(entry, file)[:-1]:
            if "://" not in word and not word.startswith("<<") and not word.startswith("git@"):
                copy_sources.append(CopySource(word, line, entry["content"].strip()))
    return copy_sources


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
        raise _problem(file, entry, "cannot be parsed") from exc
    return [str(word) for word in words]


def _external_images(text: str, file: str) -> Iterator[_ExternalImage]:
    """Yield the external images that instructions name."""
    structure = _parser(text).structure
    stages: list[str] = []
    defaults: dict[str, str] = {}
    if not any(entry["instruction"] == "FROM" for entry in structure):
        raise BadInput([Problem("has no base image", file=file, hint="add a line FROM IMAGE")])
    for entry in structure:
        if entry["instruction"] == "ARG" and not stages:
            _add_defaults(entry, file, defaults)
        elif entry["instruction"] == "FROM":
            spelling = next((word for word in str(entry["value"]).split() if not word.startswith("--")), "")
            image = _expand(spelling, defaults)
            if "$" in image or not image or image.endswith((":", "/", "@")):
                raise _problem(file, entry, "names an image that is unknown before the build")
            if image != "scratch" and image.lower() not in stages:
                yield _ExternalImage(entry, "", spelling, image)
            name = re.search(r"\s+as\s+(\S+)\s*$", entry["value"], re.IGNORECASE)
            stages.append(name[1].lower() if name else "")
        else:
            for before, image in _copied_images(entry):
                if "$" not in image and not image.isdigit() and image.lower() not in stages:
                    yield _ExternalImage(entry, before, image, image)


def _add_defaults(entry: Mapping[str, Any], file: str, defaults: dict[str, str]) -> None:
    """Add the default of an ARG before the first FROM; one without a default is empty, or keeps its earlier value."""
    for word in _words(entry, file):
        name, equals, value = word.partition("=")
        if equals:
            defaults[name] = _expand(value, defaults)


def _expand(text: str, defaults: Mapping[str, str]) -> str:
    """Expand variables, including `${V:-other}` and `${V:+other}`. Variables that the builder sets are kept."""

    def substitute(match: re.Match[str]) -> str:
        name, word = match["plain"] or match["name"], match["word"] or ""
        if name not in defaults and _BUILDER_VARIABLE.fullmatch(name):
            return match[0]
        default = defaults.get(name, "")
        if match["sign"] == "+":
            return word if default else ""
        return default or word

    return _VARIABLE.sub(substitute, text)


def _copied_images(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the images or stages that a COPY, ADD or RUN takes files from, with the text before their names."""
    if entry["instruction"] == "RUN":
        mounts = [(option_text, mount["from"]) for option_text, mount in _mounts(entry) if mount.get("from")]
        return [(f"{option_text.partition(f'from={image}')[0]}from=", image) for option_text, image in mounts]
    option = _FROM_OPTION.search(entry["value"]) if entry["instruction"] in ("COPY", "ADD") else None
    return [("--from=", option["image"])] if option else []


def _parser(text: str) -> Any:
    from dockerfile_parse import DockerfileParser  # imported on demand, only for builds

    content = _without_here_documents(text).encode("utf-8")
    return DockerfileParser(fileobj=BytesIO(content), build_args={}, env_replace=True)


def _without_here_documents(text: str) -> str:
    """Return the lines with here-documents (`RUN <<EOF`) replaced by empty lines."""
    lines, instruction = [], ""
    open_documents: list[re.Match[str]] = []
    for line in text.splitlines(keepends=True):
        if open_documents:
            terminator = line.rstrip("\r\n")
            if (terminator.lstrip("\t") if open_documents[0]["tabs"] else terminator) == open_documents[0]["word"]:
                open_documents.pop(0)
            lines.append("\n")
            continue
        lines.append(line)
        if line.lstrip().startswith("#"):
            continue
        instruction += line
        if not line.rstrip().endswith("\\"):
            words = instruction.split(maxsplit=1)
            if words and words[0].upper() in _HERE_DOCUMENT_INSTRUCTIONS:
                open_documents = list(_HERE_DOCUMENT.finditer(instruction))
            instruction = ""
    return "".join(lines)


def _problem(file: str, entry: Mapping[str, Any], why: str) -> BadInput:
    line = entry["startline"] + 1
    return BadInput([Problem(f"{str(entry['content']).strip()!r} {why}", file=file, line=line)])

"""Files of a folder that a build needs: only those that its steps name. Never the whole folder: code is in a bundle."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestune.errors import BadInput, Problem, TooLarge
from orchestune.images.builds import secrets
from orchestune.images.builds.dockerfile import CopySource, sources
from orchestune.images.builds.dockerignore import leaving_out

LIMIT = 200 << 20
"""maximum total bytes of the files of a build"""
_TOOLS = {
    "uv": ("pyproject.toml", "uv.lock", ".python-version"),
    "poetry": ("pyproject.toml", "poetry.lock"),
    "pdm": ("pyproject.toml", "pdm.lock"),
    "pipenv": ("Pipfile", "Pipfile.lock"),
    "pixi": ("pixi.toml", "pixi.lock", "pyproject.toml"),
    "conda": ("environment.yml", "environment.yaml"),
    "mamba": ("environment.yml", "environment.yaml"),
    "npm": ("package.json", "package-lock.json"),
}
"""files that a tool reads implicitly"""
_NESTED = re.compile(r"^\s*(?:-r|--requirement|-c|--constraint)[ =]*(?P<name>[^\s#]+)")
_LOCAL = re.compile(r"^\s*(?:-e|--editable)\b|^\s*\.{0,2}/|^\s*file:|^\s*\.\s*(?:\[|$)")
_CODE = "the code comes to every trial as its current folder and is not installed"

_OWN_IMAGE = "what needs a password to be installed belongs into an image of your own, named in `image:`"


def for_install(folder: Path, commands: Sequence[str]) -> dict[str, Path]:
    """Return the files that install commands name, and the files that those name, by their paths in the folder.

    Raises BadInput for code and secrets, and TooLarge.
    """
    found: dict[str, Path] = {}
    for command in commands:
        if secret := secrets.in_text(command):
            raise _bad(f"{command!r} holds {secret[1]}, which would stand in the image", _OWN_IMAGE)
        words = _words(command)
        _refuse_code(command, words, folder)
        for name in [*_candidates(words), *_known_to_tools(words)]:
            _take(folder, name, found)
    return _checked(found)


def for_dockerfile(folder: Path, text: str, file: str) -> dict[str, Path]:
    """Return the files that a Dockerfile copies from the folder, except those excluded by `.dockerignore`.

    Raises BadInput for the whole folder and for secrets, including those in the Dockerfile itself, and TooLarge.
    """
    found: dict[str, Path] = {}
    if secret := secrets.in_text(text):
        raise _told(file, *secret)
    leaves_out = leaving_out(folder, file)
    for source in sources(text, file):
        pattern = os.path.normpath(source.path.lstrip("/"))
        if pattern in (".", "*", "**") or pattern.startswith(".."):
            raise _at(source, file, "takes the whole folder", f"name the files that it needs; {_CODE}")
        matches = sorted(folder.glob(pattern)) if any(sign in pattern for sign in "*?[") else [folder / pattern]
        if not matches or not matches[0].exists():
            raise _at(source, file, f"names {source.path}, which is not in {folder}", "correct the path")
        for match in matches:
            named = match.is_file()
            for path in [match] if named else _below(match):
                name = path.relative_to(folder).as_posix()
                if ignoring := leaves_out(name):
                    if path == folder / pattern:
                        why = f"names {source.path}, which {ignoring} leaves out"
                        raise _at(source, file, why, "correct the one or the other")
                elif named or not (secrets.by_name(name) or secrets.in_file(path)):
                    found[name] = path
    return _checked(found)


def _words(command: str) -> list[str]:
    try:
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        return list(lexer)
    except ValueError:
        return command.split()


def _candidates(words: Sequence[str]) -> Iterator[str]:
    """Yield all parts of a command that may be file names."""
    for word in words:
        yield word
        yield word.partition("=")[2]
        if word[:2] in ("-r", "-c", "-f") and len(word) > 2:
            yield word[2:]


def _known_to_tools(words: Sequence[str]) -> Iterator[str]:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if not (word == "uv" and following in ("pip", "tool", "venv")):
            yield from _TOOLS.get(word, ())


def _refuse_code(command: str, words: Sequence[str], folder: Path) -> None:
    """Refuse commands such as `pip install .`, which would put the code into the image."""
    if "install" not in words or not {"pip", "pip3", "uv"} & set(words):
        return
    for word in words[words.index("install") + 1 :]:
        place = word.partition("[")[0]
        if place in (".", "..") or (place.startswith(("./", "../", "/")) and os.path.isdir(folder / place)):
            hint = f"name what it requires instead, such as pip install -r requirements.txt; {_CODE}"
            raise _bad(f"{command!r} would put the code of {word} into the image", hint)


def _take(folder: Path, name: str, found: dict[str, Path]) -> None:
    """Add a file that is in the folder, and the requirement files that it names."""
    if not name or name.startswith(("/", "~", "-")):
        return
    path = Path(os.path.normpath(folder / name))
    if not path.is_relative_to(folder) or not os.path.isfile(path):  # a word may be too long for a name
        return
    key = path.relative_to(folder).as_posix()
    if key in found:
        return
    found[key] = path
    if path.suffix in (".txt", ".in"):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if nested := _NESTED.match(line):
                _take(folder, os.path.relpath(path.parent / nested["name"], folder), found)
            elif _LOCAL.match(line):
                problem = Problem(f"{line.strip()!r} would put code into the image", file=key, line=number, hint=_CODE)
                raise BadInput([problem])


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def _checked(found: dict[str, Path]) -> dict[str, Path]:
    """Return the files sorted. Raises BadInput for secrets, and TooLarge."""
    for name, path in found.items():
        why = secrets.by_name(name)
        if why:
            raise BadInput([Problem(f"stays out of the image: {why}", file=name, hint=_OWN_IMAGE)])
        secret = secrets.in_file(path)
        if secret:
            raise _told(name, *secret)
    size = sum(path.stat().st_size for path in found.values())
    if size > LIMIT:
        largest = max(found, key=lambda name: found[name].stat().st_size)
        raise TooLarge(
            f"the files for the image are {size >> 20} MiB together; at most {LIMIT >> 20} are allowed",
            f"the largest is {largest}; data belongs into `data:`, not into an image",
        )
    return dict(sorted(found.items()))


def _told(file: str, line: int, what: str) -> BadInput:
    return BadInput([Problem(f"holds {what}, which would stand in the image", file=file, line=line, hint=_OWN_IMAGE)])


def _bad(message: str, hint: str) -> BadInput:
    return BadInput.one(message, key="install", hint=hint)


def _at(source: CopySource, file: str, why: str, hint: str) -> BadInput:
    return BadInput([Problem(f"{source.text!r} {why}", file=file, line=source.line, hint=hint)])

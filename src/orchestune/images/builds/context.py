"""Files of a folder that a build needs: only those that its steps name. Never the whole folder: code is in a bundle.

A user's own Dockerfile names files by patterns, from which the folder's `.dockerignore` excludes some. Secrets are
refused, since every user who can pull the image could read them.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from orchestune.errors import BadInput, Problem, TooLarge
from orchestune.images.builds import secrets
from orchestune.images.builds.dockerfile import CopySource, sources

LIMIT = 200 << 20
"""maximum total bytes of the files of a build"""
_IMPLICIT_FILES = {
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
_NESTED_REQUIREMENTS = re.compile(r"^\s*(?:-r|--requirement|-c|--constraint)[ =]*(?P<name>[^\s#]+)")
_LOCAL_REQUIREMENT = re.compile(r"^\s*(?:-e|--editable)\b|^\s*\.{0,2}/|^\s*file:|^\s*\.\s*(?:\[|$)")
_CODE_HINT = "the code is the current folder of every trial and need not be installed"

_OWN_IMAGE_HINT = "install what needs a password in an image of your own, and name that in `image:`"


def for_install(folder: Path, commands: Sequence[str]) -> dict[str, Path]:
    """Return the files that install commands name, and the files that those name, by their paths in the folder.

    Raises BadInput for code and secrets, and TooLarge.
    """
    files: dict[str, Path] = {}
    for command in commands:
        if secret := secrets.in_text(command):
            raise _install_problem(
                f"{command!r} contains {secret[1]}, which would be readable in the image", _OWN_IMAGE_HINT
            )
        words = _words(command)
        _refuse_code(command, words, folder)
        for name in [*_candidates(words), *_implicit_files(words)]:
            _add_file(folder, name, files)
    return _checked(files)


def for_dockerfile(folder: Path, text: str, file: str) -> dict[str, Path]:
    """Return the files that a Dockerfile copies from the folder, except those excluded by `.dockerignore`.

    Raises BadInput for the whole folder and for secrets, including those in the Dockerfile itself, and TooLarge.
    """
    files: dict[str, Path] = {}
    if secret := secrets.in_text(text):
        raise _secret_problem(file, *secret)
    find_ignore_file = ignore_rules(folder, file)
    for source in sources(text, file):
        pattern = os.path.normpath(source.path.lstrip("/"))
        if pattern in (".", "*", "**") or pattern.startswith(".."):
            raise _copy_problem(source, file, "copies the whole folder", f"name the files that it needs; {_CODE_HINT}")
        matches = sorted(folder.glob(pattern)) if any(sign in pattern for sign in "*?[") else [folder / pattern]
        if not matches or not matches[0].exists():
            raise _copy_problem(source, file, f"names {source.path}, which is not in {folder}", "correct the path")
        for match in matches:
            is_file = match.is_file()
            for path in [match] if is_file else _files_below(match):
                name = path.relative_to(folder).as_posix()
                if ignore_file := find_ignore_file(name):
                    if path == folder / pattern:
                        reason = f"names {source.path}, which {ignore_file} excludes"
                        raise _copy_problem(source, file, reason, "correct one of them")
                elif is_file or not (secrets.by_name(name) or secrets.in_file(path)):
                    files[name] = path
    return _checked(files)


def ignore_rules(folder: Path, dockerfile: str) -> Callable[[str], str]:
    """Return a function that maps a path in the folder to the ignore file that excludes it, or to an empty string.

    As in Docker, `NAME.dockerignore` beside a Dockerfile replaces the folder's own. Raises BadInput.
    """
    from docker.utils.build import Pattern  # imported on demand, only for builds: loads requests and more

    candidates = (f"{dockerfile}.dockerignore", ".dockerignore")
    name = next((candidate for candidate in candidates if (folder / candidate).is_file()), "")
    parsed = [Pattern(line) for line in _ignore_lines(folder, name)] if name else []
    patterns = [pattern for pattern in parsed if pattern.dirs]

    def find_ignore_file(path: str) -> str:
        """Apply the last pattern that matches the path or a folder above it."""
        paths = [path, *(str(above) for above in PurePosixPath(path).parents if above.name)]
        matching = [pattern for pattern in patterns if any(map(pattern.match, paths))]
        return name if matching and not matching[-1].exclusion else ""

    return find_ignore_file


def _ignore_lines(folder: Path, name: str) -> list[str]:
    try:
        text = (folder / name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not a text file"
        raise BadInput([Problem(f"cannot be read: {reason}", file=name)]) from exc
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


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


def _implicit_files(words: Sequence[str]) -> Iterator[str]:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if not (word == "uv" and following in ("pip", "tool", "venv")):
            yield from _IMPLICIT_FILES.get(word, ())


def _refuse_code(command: str, words: Sequence[str], folder: Path) -> None:
    """Refuse commands such as `pip install .`, which would put the code into the image."""
    if "install" not in words or not {"pip", "pip3", "uv"} & set(words):
        return
    for word in words[words.index("install") + 1 :]:
        path_argument = word.partition("[")[0]
        if path_argument in (".", "..") or (
            path_argument.startswith(("./", "../", "/")) and os.path.isdir(folder / path_argument)
        ):
            hint = f"name what it requires instead, such as pip install -r requirements.txt; {_CODE_HINT}"
            raise _install_problem(f"{command!r} would put the code of {word} into the image", hint)


def _add_file(folder: Path, name: str, files: dict[str, Path]) -> None:
    """Add a file that is in the folder, and the requirement files that it names."""
    if not name or name.startswith(("/", "~", "-")):
        return
    path = Path(os.path.normpath(folder / name))
    if not path.is_relative_to(folder) or not os.path.isfile(path):  # a word may be too long for a name
        return
    key = path.relative_to(folder).as_posix()
    if key in files:
        return
    files[key] = path
    if path.suffix in (".txt", ".in"):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if nested := _NESTED_REQUIREMENTS.match(line):
                _add_file(folder, os.path.relpath(path.parent / nested["name"], folder), files)
            elif _LOCAL_REQUIREMENT.match(line):
                problem = Problem(
                    f"{line.strip()!r} would put code into the image", file=key, line=number, hint=_CODE_HINT
                )
                raise BadInput([problem])


def _files_below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def _checked(files: dict[str, Path]) -> dict[str, Path]:
    """Return the files sorted. Raises BadInput for secrets, and TooLarge."""
    for name, path in files.items():
        reason = secrets.by_name(name)
        if reason:
            raise BadInput([Problem(f"not allowed in the image: {reason}", file=name, hint=_OWN_IMAGE_HINT)])
        secret = secrets.in_file(path)
        if secret:
            raise _secret_problem(name, *secret)
    size = sum(path.stat().st_size for path in files.values())
    if size > LIMIT:
        largest = max(files, key=lambda name: files[name].stat().st_size)
        raise TooLarge(
            f"the files for the image are too large: {size >> 20} MiB (at most {LIMIT >> 20} MiB)",
            f"the largest is {largest}; name data in `data:` instead",
        )
    return dict(sorted(files.items()))


def _secret_problem(file: str, line: int, kind: str) -> BadInput:
    return BadInput(
        [Problem(f"contains {kind}, which would be readable in the image", file=file, line=line, hint=_OWN_IMAGE_HINT)]
    )


def _install_problem(message: str, hint: str) -> BadInput:
    return BadInput.one(message, key="install", hint=hint)


def _copy_problem(source: CopySource, file: str, reason: str, hint: str) -> BadInput:
    return BadInput([Problem(f"{source.text!r} {reason}", file=file, line=source.line, hint=hint)])

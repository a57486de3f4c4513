"""Constants of the script that a command runs, for an experiment whose command passes no parameters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from orchestune.config.document.constants import READERS, Constants, Unparsable
from orchestune.config.document.nodes import Entries, Items, Node, ScalarNode, SourcePosition
from orchestune.config.scripts.option import KINDS, Option
from orchestune.config.scripts.proposing import argument, propose
from orchestune.domain.words import brief_list, did_you_mean
from orchestune.worker.command import placeholders, split

_POSITION = SourcePosition("the command")
_MAX_BYTES = 2**20


def with_constants(root: Entries, folder: Path, notes: list[str]) -> Entries:
    """Set the key `constants` if parameters of the experiment are named like constants of its script, or almost.

    Otherwise a note lists the constants.
    """
    path, constants = of_command(root, folder)
    parameters = root.get("parameters")
    names = [key.text for key, _ in parameters.entries] if isinstance(parameters, Entries) else []
    if any(name in constants or did_you_mean(name, constants) for name in names):
        key, node = (ScalarNode(_POSITION, text, text) for text in ("constants", path))
        return root.with_entry(key, node)
    if names and constants:
        notes.append(
            f"{path} has the constants {brief_list(list(constants))}: name parameters like these to replace them"
        )
    return root


def proposed(root: Entries, folder: Path) -> str:
    """Return the arguments of the command line that vary the script's constants; empty if there are none."""
    path, constants = of_command(root, folder)
    options = [Option(name, KINDS[type(constant.value)], constant.value) for name, constant in constants.items()]
    arguments = [argument(option.name, spelling) for option in options
                 if (proposal := propose(option)).vary and (spelling := proposal.spelling) is not None]  # fmt: skip
    return f"for example constants of {path}: {' '.join(arguments)}" if arguments else ""


def of_command(root: Entries, folder: Path) -> tuple[str, Constants]:
    """Return the path of the script and its constants.

    There are none if the command gets parameters another way, or if the script reads them itself.
    """
    words = _words(root.get("run"))
    has_other_way = any(root.get(key) is not None for key in ("constants", "config", "stdin"))
    is_passed = has_other_way or placeholders(words) or any("ORCHESTUNE_PARAM" in word for word in words)
    path = "" if is_passed else _script(words, folder)
    if not path:
        return "", {}
    try:
        with (folder / path).open("rb") as file:
            text = file.read(_MAX_BYTES).decode("utf-8")
        return path, {} if "orchestune" in text.lower() else READERS[PurePosixPath(path).suffix.lower()](text)
    except (OSError, UnicodeDecodeError, Unparsable):
        return "", {}


def _words(run: Node | None) -> Sequence[str]:
    """Return the words of a command without shell syntax."""
    if isinstance(run, Items):
        return [word.text for word in run.items if isinstance(word, ScalarNode)]
    return split(run.text) or () if isinstance(run, ScalarNode) else ()


def _script(words: Sequence[str], folder: Path) -> str:
    """Return the path of the command's first word that is a script in the folder; empty if there is none."""
    for word, previous in zip(words, ("", *words), strict=False):
        path = PurePosixPath(f"{word.replace('.', '/')}.py" if previous == "-m" else word)
        is_inside = not path.is_absolute() and ".." not in path.parts
        if is_inside and path.suffix.lower() in READERS and (folder / path).is_file():
            return str(path)
    return ""

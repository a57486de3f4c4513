"""The wrapper that a library for functions needs around a program: start it, and read its result."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.steps.tasks import Switch, Task


def body(task: Task, values: Mapping[str, str], folder: str = "") -> list[str]:
    """Return the lines of a function that compute `value`.

    `values` are the expressions of the parameters, `folder` that of a folder of the trial's own, if the program needs
    one.
    """
    if task.kind == "config":
        return _config(task, values, folder)
    words = [*map(repr, task.command)]
    words += [_word(task, name, expression) for name, expression in values.items()]
    if task.kind == "checkpoint":
        words.append(f'f"--state={{{folder}}}"')
    return [f"words = [{', '.join(words)}]", *_started(task, "words")]


def _word(task: Task, name: str, expression: str) -> str:
    if isinstance(task.space[name], Switch):
        return f'*["--{name}"] * {expression}'
    return f'f"--{name}={{{expression}}}"'


def _config(task: Task, values: Mapping[str, str], folder: str) -> list[str]:
    toml = task.example.startswith("13")
    source = "conf/base.toml" if toml else "base.json"
    lines = [f'document = {"tomllib" if toml else "json"}.loads(open("{source}").read())']
    for name, expression in values.items():
        place = "".join(f"[{part!r}]" for part in name.split("."))
        lines.append(f"document{place} = {expression}")
    ending = "toml" if toml else "json"
    lines.append(f'file = os.path.join({folder}, "config.{ending}")')
    lines.append(f'open(file, "w").write({"tomli_w" if toml else "json"}.dumps(document))')
    if not toml:
        return [*lines, *_started(task, f"[{', '.join(map(repr, task.command))}, file]")]
    program = f"[{task.command[0]!r}, os.path.abspath({task.command[1]!r}), file]"
    lines.append(f"subprocess.run({program}, cwd={folder}, check=True)")
    lines.append(f'table = list(csv.DictReader(open(os.path.join({folder}, "history.csv"))))')
    return [*lines, f'value = float(table[-1]["{task.metric}"])']


def _started(task: Task, words: str) -> list[str]:
    return [
        f"done = subprocess.run({words}, stdout=subprocess.PIPE, text=True, check=True)",
        f"value = float(re.findall(r'{task.printed}', done.stdout)[-1])",
    ]


def imports(task: Task) -> str:
    """The modules that those lines use."""
    names = {"subprocess"}
    if task.kind == "config":
        names |= {"os", "tempfile"}
        names |= {"csv", "tomllib", "tomli_w"} if task.example.startswith("13") else {"json", "re"}
    else:
        names.add("re")
    return "".join(f"import {name}\n" for name in sorted(names))


def folder_of(task: Task, number: str) -> tuple[list[str], str]:
    """Lines that make a folder of the trial's own where it needs one, and the expression of it."""
    if task.kind == "config":
        return ["folder = tempfile.mkdtemp()"], "folder"
    if task.kind == "checkpoint":
        return [f'folder = os.path.abspath(f"state/{{{number}}}")', "os.makedirs(folder, exist_ok=True)"], "folder"
    return [], ""

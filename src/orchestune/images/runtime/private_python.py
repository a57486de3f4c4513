"""The private Python: a folder with an interpreter, its own loader and the worker, which runs in any image.

    TARGET/py/bin/python3      the interpreter of this machine
    TARGET/py/lib/ld.so        its loader, beside the shared libraries that it needs
    TARGET/py/lib/python3.X    its standard library, only the files that programs need at run time
    TARGET/worker.pyz          the worker
    TARGET/authorities.pem     certificates trusted in addition to the image's, if its server uses TLS
    TARGET/copy.py             copies the whole folder, for example in an init container

It requires nothing of the image, not even a shell, and works with a read-only root. The worker's child process is not
affected by it: no environment variable points here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from orchestune.errors import OrchestuneError, UsageError
from orchestune.images.runtime import bytecode, copy
from orchestune.images.runtime.linking import linked, opened_by_libc
from orchestune.system import platform
from orchestune.worker import build as worker_archive

LIBRARIES = "py/lib"
INTERPRETER = "py/bin/python3"
WORKER = "worker.pyz"
COPY = "copy.py"
AUTHORITIES = "authorities.pem"
_UNUSED = {
    "__phello__", "distutils", "dist-packages", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages",
    "test", "tkinter", "turtledemo", "venv",
}  # fmt: skip
_TESTS = {"test", "tests", "idle_test", "__pycache__"}
_UNUSED_FILES = {"EXTERNALLY-MANAGED", "sitecustomize.py", "usercustomize.py", "turtle.py"}
_UNUSED_MODULES = (
    "_ctypes_test",
    "_dbm",
    "_gdbm",
    "_test",
    "_tkinter",
    "_xxtestfuzz",
    "nis",
    "ossaudiodev",
    "xxlimited",
)


def interpreter(mount: str) -> list[str]:
    """Return the command prefix that starts the Python mounted at `mount`."""
    libraries = f"{mount}/{LIBRARIES}"
    return [f"{libraries}/ld.so", "--inhibit-cache", "--library-path", libraries, f"{mount}/{INTERPRETER}", "-I"]


def command(mount: str) -> list[str]:
    """Return the command that starts the worker from `mount`, an absolute path without a trailing slash."""
    return [*interpreter(mount), f"{mount}/{WORKER}"]


def copy_command(mount: str, target: str) -> list[str]:
    """Return the command that copies the folder at `mount` into `target`; it needs no shell and no other program."""
    return [*interpreter(mount), f"{mount}/{COPY}", target]


def build_runtime(target: Path) -> Path:
    """Build the folder atomically, in a few seconds, and return it. Raises UsageError if this machine is unsuitable."""
    if not platform.is_linux():
        raise UsageError(
            f"cannot build the worker's Python on {platform.name()}: it needs Linux",
            "name an image of the server with --server-image",
        )
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        _fill(part)
        _open_to_containers(part)
        shutil.rmtree(target, ignore_errors=True)
        part.replace(target)
    except OSError as exc:
        raise OrchestuneError(f"cannot write the worker's Python to {target}: {exc}", "free disk space") from exc
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def _fill(folder: Path) -> None:
    import certifi  # comes with requests

    program = _program()
    library = Path(os.__file__).parent
    modules = [
        path for path in sorted((library / "lib-dynload").glob("*.so")) if not path.name.startswith(_UNUSED_MODULES)
    ]
    dependencies = linked([program, *modules])
    _put(program, folder / INTERPRETER)
    libraries = {"ld.so": dependencies.loader, **dependencies.libraries, **opened_by_libc(dependencies.libraries)}
    for name, path in sorted(libraries.items()):
        _put(path, folder / LIBRARIES / name)
    library_target = folder / "py" / sys.platlibdir / library.name
    for module in modules:
        _put(module, library_target / "lib-dynload" / module.name)
    for source in _sources(library):
        target = library_target / source.relative_to(library)
        _put(source, target)
        code = bytecode.compiled(source) if source.suffix == ".py" else None
        if code is not None:
            cached = Path(bytecode.name(str(target)))
            cached.parent.mkdir(exist_ok=True)
            cached.write_bytes(code)
    worker_archive.build(folder / WORKER, bytecode.compiled)
    _put(Path(certifi.where()), folder / AUTHORITIES)
    _put(Path(copy.__file__), folder / COPY)


def _open_to_containers(folder: Path) -> None:
    """Make it readable for every user of a container, whatever the umask of this process: it contains only programs."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _program() -> Path:
    """Return the interpreter below any virtual environment."""
    base_interpreter = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return (base_interpreter if base_interpreter.exists() else Path(sys.executable)).resolve()


def _sources(library: Path) -> Iterator[Path]:
    """Yield the files of the standard library that programs may need at run time."""
    for folder, folders, names in os.walk(library):
        excluded = _TESTS if Path(folder) != library else _TESTS | _UNUSED
        folders[:] = sorted(
            name
            for name in folders
            if name not in excluded and not name.startswith("config-") and name != "lib-dynload"
        )
        for name in sorted(names):
            path = Path(folder, name)
            if name not in _UNUSED_FILES and path.suffix not in (".a", ".exe", ".so") and path.is_file():
                yield path


def _put(source: Path, target: Path) -> None:
    """Copy a file, readable for all users, and executable if the original is. Debugging symbols are stripped."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    executable = os.access(source, os.X_OK) or ".so" in target.name
    target.chmod(0o755 if executable else 0o644)
    if executable and shutil.which("strip"):
        with open(target, "rb") as file:
            is_program = file.read(4) == b"\x7fELF"
        if is_program:
            subprocess.run(["strip", "--strip-debug", str(target)], capture_output=True, check=False)

"""Root file systems for test images, kept in the cache: from a Debian with Python down to a single program."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from pathlib import Path

from tests.testbeds.cache import cached_folder
from tests.testbeds.images import add, root_with
from tests.testbeds.machine import Broken, checked

DEBIAN = "bookworm"
FOLDERS = ("tmp", "etc", "proc", "sys", "dev")


def _needed(program: str, package: str) -> str:
    program_path = shutil.which(program)
    if program_path is None:
        raise Broken(f"this image is made with {program}: apt-get install {package}")
    return program_path


def python_root() -> Path:
    """A minimal Debian with python3 and its whole standard library (216 MB, half a minute to make)."""

    def make(folder: Path) -> None:
        tool = _needed("mmdebstrap", "mmdebstrap")
        checked([tool, "--quiet", "--variant=minbase", "--include=python3", DEBIAN, folder / "root.tar"])

    return cached_folder(f"root-python-{DEBIAN}-1", make) / "root.tar"


def buildah_root() -> Path:
    """Build a Debian root with buildah, as in an image of buildah; this takes a minute."""

    def make(folder: Path) -> None:
        tool = _needed("mmdebstrap", "mmdebstrap")
        needed = "buildah,ca-certificates,uidmap"
        checked([tool, "--quiet", "--variant=minbase", f"--include={needed}", DEBIAN, folder / "root.tar"])

    return cached_folder(f"root-buildah-{DEBIAN}-1", make) / "root.tar"


def busybox_root() -> Path:
    """Busybox alone, under every name it answers to: a shell and small tools, no Python."""

    def make(folder: Path) -> None:
        program = Path(_needed("busybox", "busybox-static"))
        names = checked([program, "--list"]).split()
        with tarfile.open(root_with(folder / "root.tar", {"bin/busybox": program}, FOLDERS), "a") as archive:
            for name in names:
                if name != "busybox":
                    link = tarfile.TarInfo(f"bin/{name}")
                    link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                    archive.addfile(link)

    return cached_folder("root-busybox-1", make) / "root.tar"


def static_root(source: str, name: str = "program") -> Path:
    """One C program without libraries at /NAME and nothing else, not even a shell (an image `FROM scratch`)."""

    def make(folder: Path) -> None:
        compiler = _needed("gcc", "gcc libc6-dev")
        checked([compiler, "-static", "-O1", "-s", "-x", "c", "-o", folder / name, "-"], source)
        root_with(folder / "root.tar", {name: folder / name})

    return cached_folder(f"root-static-{_mark(source + name)}", make) / "root.tar"


def musl_root(source: str, name: str = "program") -> Path:
    """As on Alpine: the C library is musl with its own loader, the tools are Busybox; the program is at /bin/NAME."""

    def make(folder: Path) -> None:
        compiler = _needed("musl-gcc", "musl-tools")
        checked([compiler, "-O1", "-s", "-x", "c", "-o", folder / name, "-"], source)
        library = next(Path("/lib").glob("*-linux-musl/libc.so"))
        shutil.copy(busybox_root(), folder / "root.tar")
        with tarfile.open(folder / "root.tar", "a") as archive:
            add(archive, f"bin/{name}", (folder / name).read_bytes(), 0o755)
            add(archive, "lib/ld-musl-x86_64.so.1", library.read_bytes(), 0o755)
            add(archive, "etc/os-release", b'ID=alpine\nNAME="Alpine Linux"\n')

    return cached_folder(f"root-musl-{_mark(source + name)}", make) / "root.tar"


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]

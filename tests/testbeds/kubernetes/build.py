"""The programs of a Kubernetes cluster, built from their published Go modules and kept in the cache by version.

The first build takes 7 to 8 minutes on two cores, nearly all of it Kubernetes itself.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.testbeds.cache import cache_folder, cached_folder
from tests.testbeds.machine import Broken, checked

GO = (1, 26)
FETCHES = (1, 21)  # from here on Go fetches a later version of itself where a module asks for one
KUBERNETES = "1.36.3"
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl")


@dataclass(frozen=True)
class Source:
    """A Go module at a version, and the packages in it which are programs."""

    name: str
    module: str
    version: str
    packages: Sequence[str]
    variables: Sequence[str] = ()
    tags: str = ""
    main: str = ""
    """the text of a program of our own made of its packages, which is built in the folder NAME instead of them"""
    documents: Sequence[str] = ()
    """patterns of files of the module that are kept beside the programs"""

    @property
    def folder(self) -> str:
        """The name in the cache."""
        return f"{self.name}-{self.version}"


_CONTAINERD, _STAMP = "github.com/containerd/containerd/v2", "k8s.io/component-base/version"
_MAJOR, _MINOR, _ = KUBERNETES.split(".")
_COREDNS = "github.com/coredns/coredns"
# its own program has the libraries of three clouds in it, which take longer to compile than all the rest
_NAME_SERVER = f"""\
package main

import (
	"{_COREDNS}/coremain"
	_ "{_COREDNS}/plugin/bind"
	_ "{_COREDNS}/plugin/cache"
	_ "{_COREDNS}/plugin/errors"
	_ "{_COREDNS}/plugin/kubernetes"
)

func main() {{
	coremain.Run()
}}
"""
SOURCES = (
    Source(
        "kubernetes", "k8s.io/kubernetes", KUBERNETES, [f"k8s.io/kubernetes/cmd/{program}" for program in PROGRAMS],
        [f"{_STAMP}.gitVersion=v{KUBERNETES}", f"{_STAMP}.gitMajor={_MAJOR}", f"{_STAMP}.gitMinor={_MINOR}"],
    ),
    Source(
        "containerd", _CONTAINERD, "2.4.2",
        [f"{_CONTAINERD}/cmd/{program}" for program in ("containerd", "containerd-shim-runc-v2", "ctr")],
        [f"{_CONTAINERD}/version.Version=2.4.2"], "no_btrfs no_devmapper no_zfs",
    ),
    Source("etcd", "go.etcd.io/etcd/server/v3", "3.6.16", ["go.etcd.io/etcd/server/v3"]),
    Source("coredns", _COREDNS, "1.14.7", ["./coredns"], main=_NAME_SERVER),
)  # fmt: skip
KUEUE = Source(
    "kueue", "sigs.k8s.io/kueue", "0.17.0", ["sigs.k8s.io/kueue/cmd/kueue"],
    documents=["config/components/crd/bases/*.yaml", "config/components/webhook/manifests.yaml"],
)  # fmt: skip
"""no part of a cluster: built by the tests that are about it"""


def binaries(report: Callable[[str], None] = lambda _: None) -> list[Path]:
    """The folders of all programs, built where they are not in the cache yet."""
    return [built(source, report) for source in SOURCES]


def built(source: Source, report: Callable[[str], None] = lambda _: None) -> Path:
    """The folder of one source's programs and documents, in the cache."""

    def make(folder: Path) -> None:
        report(f"building {source.name} {source.version} (once)")
        _build(source, folder)

    return cached_folder(source.folder, make)


def missing() -> list[str]:
    """Return the programs that `binaries` would have to build first."""
    return [source.folder for source in SOURCES if not (cache_folder() / source.folder).is_dir()]


def built_path() -> str:
    """The folders of what is built already, as in PATH."""
    return ":".join(str(cache_folder() / source.folder) for source in SOURCES if source.folder not in missing())


def go_version(version_text: str) -> tuple[int, ...]:
    """The version in what `go env GOVERSION` prints: `go1.26.8` is (1, 26, 8)."""
    numbers = version_text.strip().removeprefix("go").split("-")[0].split(".")
    return tuple(int("".join(filter(str.isdecimal, number)) or 0) for number in numbers)


def _go(*arguments: str, cwd: Path) -> str:
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOWORK": "off"}
    return checked(["go", *arguments], cwd=cwd, env=env)


def check_go() -> None:
    """Broken, with what to do, unless a Go is there that can build Kubernetes, or can fetch one that can."""
    needed_version = ".".join(map(str, GO))
    if not shutil.which("go"):
        raise Broken(
            f"Kubernetes is built with Go {needed_version} or later, and there is no `go` on the PATH: install it first"
        )
    go_output = checked(["go", "env", "GOVERSION"])
    if go_version(go_output) < FETCHES:
        raise Broken(
            f"Kubernetes {KUBERNETES} takes Go {needed_version} or later to build; `go` is {go_output.strip()}:"
            " install it first"
        )


def _build(source: Source, folder: Path) -> None:
    check_go()
    with tempfile.TemporaryDirectory(prefix="orchestune-build-") as name:
        work = Path(name)
        (work / "go.mod").write_text(go_mod(source, _staging(source, work)))
        if source.main:
            (work / source.name).mkdir()
            (work / source.name / "main.go").write_text(source.main)
        _go("mod", "tidy", cwd=work)
        flags = " ".join(["-s -w", *(f"-X {variable}" for variable in source.variables)])
        _go(
            "build",
            "-trimpath",
            f"-tags={source.tags}",
            "-gcflags=all=-dwarf=false",  # the linker drops it (-s -w): a tenth less to compile
            f"-ldflags={flags}",
            "-o",
            f"{folder}/",
            *source.packages,
            cwd=work,
        )
        for pattern in source.documents:
            for file in Path(_downloaded(source, work)["Dir"]).glob(pattern):
                shutil.copyfile(file, folder / file.name)
    for named in ("v3", "server"):  # after the last part of its path, or the one before a version: that depends on Go
        if (folder / named).exists():
            (folder / named).rename(folder / source.name)


def _staging(source: Source, work: Path) -> list[str]:
    """Kubernetes requires its libraries as v0.0.0, replaced by folders which its module lacks: they have releases."""
    module_info = _downloaded(source, work)
    lines = Path(module_info["GoMod"]).read_text().splitlines()
    libraries = [line.split()[0] for line in lines if "=> ./staging/" in line]
    return [f"{library} => {library} v0.{source.version.partition('.')[2]}" for library in libraries]


def _downloaded(source: Source, work: Path) -> Mapping[str, str]:
    """Return the folder in which Go keeps the module: `Dir`, `GoMod`."""
    module_info: Mapping[str, str] = json.loads(
        _go("mod", "download", "-json", f"{source.module}@v{source.version}", cwd=work)
    )
    return module_info


def go_mod(source: Source, replaced: Sequence[str]) -> str:
    """A module whose tools are the programs of the source, or which has a program of its own."""
    lines = ["module testbed", f"go {'.'.join(map(str, GO))}.0"]
    if not source.main:
        tools = "\n".join(f"\t{package}" for package in source.packages)
        lines.append(f"tool (\n{tools}\n)")
    lines.append(f"require {source.module} v{source.version}")
    if replaced:
        lines.append("replace (\n" + "\n".join(f"\t{line}" for line in replaced) + "\n)")
    return "\n\n".join(lines) + "\n"

"""An environment with PyTorch for machines without a GPU: `python -m tests.testbeds.torch FOLDER`.

The registry's PyTorch for Linux on x86-64 asks for 2.6 GB of CUDA's libraries, and calls none of them where there is no
GPU. Here libraries of the same names with nothing in them stand in for those, so 0.6 GB are fetched in the place of
3.2; PyTorch itself is as it was published. Elsewhere it asks for nothing of the kind. What else there is in the
environment is the dependency group `torch` of pyproject.toml.
"""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUNTIME = "nvidia-cuda-runtime"
"""the one library of CUDA that is called while PyTorch loads; it is small"""
BY_NAME = {
    "libcufile.so": r"cuFile",
    "libcusparseLt.so": r"cusparseLt",
    "libnccl.so": r"p?nccl",
    "libnvshmem_host.so": r"nvshmem",
}
"""libraries whose functions are known by their names; those of the others carry the library's name as their version"""


def make(folder: Path) -> None:
    """Make the environment in a folder that is not there yet. CalledProcessError where a step of it fails."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    pip += ["-c", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True)
    install_torch(folder, pip)
    subprocess.run([*pip, "--group", "torch"], check=True, cwd=ROOT)


def install_torch(folder: Path, pip: list[str]) -> None:
    """PyTorch alone into an environment, by the command `pip` of it, so that nothing asks for CUDA afterwards."""
    subprocess.run([*pip, "--no-deps", "torch"], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    lib = packages / "torch/lib"
    if (lib / "libtorch_cuda.so").exists():
        [metadata] = packages.glob("torch-*.dist-info/METADATA")
        metadata.write_text(re.sub(r"(?m)^Requires-Dist: .*platform_system.*\n", "", metadata.read_text()))
        subprocess.run([*pip, RUNTIME], check=True)
        [runtime] = packages.glob("nvidia/**/libcudart.so.*[0-9]")
        (lib / runtime.name).symlink_to(runtime.resolve())
        stand_in(lib)


def stand_in(lib: Path) -> None:
    """Put beside PyTorch's own libraries those that they need of CUDA; who calls a function there is aborted."""
    needed, symbols = set[str](), dict[str, str]()
    for library in lib.glob("lib*.so*"):
        command = ["readelf", "--wide", "--dynamic", "--dyn-syms", str(library)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        needed |= {*re.findall(r"\(NEEDED\).*\[(\S+)\]", text)}
        symbols |= dict(re.findall(r" UND (\w+)(?:@+(\S+))?", text))
    for name in sorted(needed - {path.name for path in lib.iterdir()}):
        own = next((start for start in BY_NAME if name.startswith(start)), None)
        versions_by_symbol = {
            symbol: version
            for symbol, version in symbols.items()
            if (re.match(BY_NAME[own], symbol) if own else version == name)
        }
        if versions_by_symbol:
            _build(lib / name, versions_by_symbol)


def _build(path: Path, symbols: dict[str, str]) -> None:
    """A library with these functions, by symbol and its version."""
    source = "void abort(void);\n" + "".join(f"void {symbol}(void) {{ abort(); }}\n" for symbol in sorted(symbols))
    versions = defaultdict[str, list[str]](list)
    for symbol, version in sorted(symbols.items()):
        versions[version].append(symbol)
    script = path.with_suffix(".map")
    script.write_text(
        "".join(f"{version} {{ global: {'; '.join(names)}; }};\n" for version, names in versions.items() if version)
    )
    command = ["gcc", "-shared", "-fPIC", "-w", "-x", "c", "-", "-o", str(path), f"-Wl,-soname,{path.name}"]
    command += [f"-Wl,--version-script={script}"] if script.stat().st_size else []
    subprocess.run(command, input=source, text=True, check=True)
    script.unlink()


if __name__ == "__main__":
    make(Path(sys.argv[1]))

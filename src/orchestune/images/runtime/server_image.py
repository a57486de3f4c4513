"""The server's own image, built from this installation and pushed without any image tool.

    /opt/orchestune                a virtual environment: bin/orchestune, its libraries, Orchestune itself
    /opt/orchestune/runtime        the private Python below it, which an init container copies for a worker

It contains nothing else, not even a shell. It runs as any user and with a read-only root; /tmp is writable if a volume
is mounted there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from orchestune import __version__
from orchestune.errors import OrchestuneError, UsageError
from orchestune.images.registries.manifests import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Manifest,
    Platform,
    parse_platform,
    sha256,
)
from orchestune.images.registries.reference import Reference
from orchestune.images.registries.registry import Registry
from orchestune.images.registries.upload import push_blob
from orchestune.images.runtime import bytecode, layer, private_python
from orchestune.images.runtime.distribution import libraries, library_files, own_files
from orchestune.images.runtime.layer import Layer, LayerEntry
from orchestune.images.runtime.linking import linked
from orchestune.system.private import write_private

HOME = "/opt/orchestune"
RUNTIME = f"{HOME}/runtime"
"""source of `runtime.copy_command`, in an init container"""
PROGRAM = f"{HOME}/bin/orchestune"
USER = 65532
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
_SITE = f"{HOME}/lib/{_PYTHON}/site-packages".lstrip("/")
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_START = f"#!{HOME}/bin/python3 -I\nimport sys\n\nfrom orchestune.cli.main import main\n\nsys.exit(main())\n"
_ACCOUNTS = f"root:x:0:0:root:/:/none\norchestune:x:{USER}:{USER}::/tmp:/none\nnobody:x:65534:65534::/:/none\n"
_GROUPS = f"root:x:0:\norchestune:x:{USER}:\nnogroup:x:65534:\n"


def push_server_image(
    registry: Registry,
    repository: str,
    nodes: Sequence[Platform] = (),
    say: Callable[[str], None] = lambda line: None,
    cache: Path | None = None,
) -> Reference:
    """Build the image, push what the registry lacks, and return it by digest. Idempotent.

    The digest is always that of an image built on this machine: a tag proves nothing, since everybody who can push to
    the repository can move it. `cache` is a private file that keeps the last digest, so that an unchanged installation
    is not built again (half a minute of CPU time). `nodes` are the platforms that must run the image.

    Raises UsageError if this machine's platform is another one.
    """
    own_platform = parse_platform(platform.machine())
    refuse_others(own_platform, nodes)
    inputs = identity()
    cached = _read_digest(cache, inputs) if cache else ""
    if cached and registry.find(repository, cached) == cached:
        say(f"found {registry.name}/{repository}:{_tag(cached)}")
        return Reference(registry.name, repository, None, cached)
    with tempfile.TemporaryDirectory(prefix="orchestune-image-") as folder:
        try:
            layers = write_layers(Path(folder), say)
        except OSError as exc:
            raise OrchestuneError(f"cannot build the server's image: {exc}", "free space in $TMPDIR") from exc
        config = Path(folder, "config.json")
        config.write_bytes(configuration(own_platform, layers))
        manifest = compose(config.read_bytes(), layers)
        sent_bytes = 0
        for part in layers:
            say(f"pushing to {registry.name}/{repository}: {part.size / 1e6:.0f} MB")
            sent_bytes += push_blob(registry, repository, part.digest, part.file)
        push_blob(registry, repository, sha256(config.read_bytes()), config)
        if registry.find(repository, manifest.digest) is None:
            registry.put_manifest(repository, _tag(manifest.digest), manifest)
    say(f"pushed {sent_bytes / 1e6:.0f} MB to {registry.name}/{repository}")
    if cache:
        with contextlib.suppress(OSError):  # the next call builds again
            write_private(cache, f"{inputs} {manifest.digest}\n")
    return Reference(registry.name, repository, None, manifest.digest)


def _tag(digest: str) -> str:
    """Return the image's tag. It contains the digest, so that registries with immutable tags accept every build."""
    return f"{__version__}-{digest.removeprefix('sha256:')[:20]}"


def _read_digest(cache: Path, inputs: str) -> str:
    """Return the cached digest of the image with these inputs; empty if absent."""
    try:
        identity_and_digest = cache.read_text().split()
    except (OSError, ValueError):
        return ""
    return identity_and_digest[1] if len(identity_and_digest) == 2 and identity_and_digest[0] == inputs else ""


def identity() -> str:
    """Return a digest of all inputs of the image: interpreter, libc, libraries, and every file of our own."""
    digest = hashlib.sha256("\0".join([sys.version, platform.machine(), *platform.libc_ver()]).encode())
    for distribution in libraries():
        digest.update(f"{distribution.metadata['Name']} {distribution.version}\0".encode())
    for name, file in own_files():
        digest.update(name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def refuse_others(own_platform: Platform, nodes: Sequence[Platform]) -> None:
    """Raise UsageError if one of the nodes cannot run an image built from this machine's files."""
    unsupported = sorted({str(node) for node in nodes if node != own_platform})
    if unsupported:
        raise UsageError(
            f"cannot build the server's image for {', '.join(unsupported)}: this machine is {own_platform}",
            "name one with --server-image, or run this on a machine like the nodes",
        )


def write_layers(folder: Path, say: Callable[[str], None] = lambda line: None) -> list[Layer]:
    """Write the layers, from the most stable one to the most frequently changed; takes some ten seconds."""
    say("building the server's image from this installation")
    python = private_python.build_runtime(folder / "runtime")
    base = layer.write(_base_entries(python), folder / "basis.tar.gz")
    library = layer.write(_library_entries(python), folder / "libraries.tar.gz")
    own = layer.write(_own_entries(python), folder / "own.tar.gz")
    shutil.rmtree(python)
    return [base, library, own]


def configuration(own_platform: Platform, layers: Sequence[Layer]) -> bytes:
    """Return the image configuration: user, environment, command. `args` of a container follow `orchestune`."""
    library_path = f"{RUNTIME}/{private_python.LIBRARIES}:{HOME}/lib"
    return _json(
        {
            "architecture": own_platform.architecture,
            "os": own_platform.os,
            "config": {
                "User": f"{USER}:{USER}",
                "Env": [
                    f"PATH={HOME}/bin",
                    "HOME=/tmp",
                    f"LD_LIBRARY_PATH={library_path}",
                    f"SSL_CERT_FILE={_CERTIFICATES}",
                ],
                "Entrypoint": [PROGRAM],
                "Cmd": ["server", "--host", "::", "--state", "/tmp/orchestune"],
                "WorkingDir": "/",
                "Labels": {
                    "org.opencontainers.image.title": "orchestune",
                    "org.opencontainers.image.version": __version__,
                },
            },
            "rootfs": {"type": "layers", "diff_ids": [part.diff_id for part in layers]},
        }
    )


def compose(config: bytes, layers: Sequence[Layer]) -> Manifest:
    """Return the manifest of an image."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": sha256(config), "size": len(config)},
        "layers": [{"mediaType": OCI_LAYER, "digest": part.digest, "size": part.size} for part in layers],
    }
    return Manifest(OCI_MANIFEST, _json(document))


def _base_entries(python: Path) -> Iterator[LayerEntry]:
    """Yield the private Python, its loader at the path that the kernel uses, and files that all programs expect."""
    import certifi  # comes with requests

    runtime_path = RUNTIME.lstrip("/")
    for file in sorted((python / "py").rglob("*")):
        if file.is_file():
            name = f"{runtime_path}/{file.relative_to(python).as_posix()}"
            yield LayerEntry(name, file, 0o755 if file.stat().st_mode & 0o100 else 0o644)
    loader = linked([python / private_python.INTERPRETER]).loader
    yield LayerEntry(str(loader).lstrip("/"), link=f"{RUNTIME}/{private_python.LIBRARIES}/ld.so")
    yield LayerEntry(f"{HOME}/bin/python3".lstrip("/"), link=f"{RUNTIME}/{private_python.INTERPRETER}")
    yield LayerEntry(f"{HOME}/pyvenv.cfg".lstrip("/"), f"home = {RUNTIME}/py/bin\n".encode())
    yield LayerEntry("etc/passwd", _ACCOUNTS.encode())
    yield LayerEntry("etc/group", _GROUPS.encode())
    yield LayerEntry("etc/nsswitch.conf", b"hosts: files dns\n")
    yield LayerEntry(_CERTIFICATES.lstrip("/"), Path(certifi.where()))
    yield LayerEntry("tmp", mode=0o1777)


def _library_entries(python: Path) -> Iterator[LayerEntry]:
    """Yield the Python libraries, and the system libraries that they need in addition."""
    extensions = []
    for distribution in libraries():
        for name, file in library_files(distribution):
            yield from _module(name, file)
            if ".so" in file.name:
                extensions.append(file)
    base_libraries = {file.name for file in (python / private_python.LIBRARIES).iterdir()}
    for name, path in sorted(linked(extensions).libraries.items()):
        if name not in base_libraries and "site-packages" not in path.parts:
            yield LayerEntry(f"{HOME}/lib/{name}".lstrip("/"), path, 0o755)


def _own_entries(python: Path) -> Iterator[LayerEntry]:
    for name, file in own_files():
        yield from _module(name, file)
    for name in (private_python.WORKER, private_python.COPY, private_python.AUTHORITIES):
        yield LayerEntry(f"{RUNTIME}/{name}".lstrip("/"), python / name)
    yield LayerEntry(PROGRAM.lstrip("/"), _START.encode(), 0o755)


def _module(name: str, file: Path) -> Iterator[LayerEntry]:
    """Yield a file below site-packages, and its bytecode."""
    path = f"{_SITE}/{name}"
    yield LayerEntry(path, file, 0o755 if ".so" in file.name else 0o644)
    code = bytecode.compiled(file) if file.suffix == ".py" else None
    if code is not None:
        yield LayerEntry(bytecode.name(path), code)


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("utf-8")

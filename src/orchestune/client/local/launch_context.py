"""Data that an experiment takes from the shell that starts it. What may be a secret is kept apart from its record."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from orchestune.client.local.home import chosen_home
from orchestune.errors import BadInput, Problem

_NAMES = """
PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TERM TMPDIR
VIRTUAL_ENV
LD_LIBRARY_PATH LD_PRELOAD LIBRARY_PATH CPATH MODULEPATH LOADEDMODULES
JAVA_HOME CLASSPATH GOPATH GOROOT GOFLAGS CARGO_HOME RUSTUP_HOME NODE_PATH NODE_OPTIONS NVM_DIR
R_LIBS R_LIBS_USER R_LIBS_SITE R_HOME R_PROFILE_USER R_ENVIRON_USER
JULIA_DEPOT_PATH JULIA_PROJECT JULIA_LOAD_PATH JULIA_NUM_THREADS
PERL5LIB PERL_LOCAL_LIB_ROOT RUBYLIB RUBYOPT GEM_HOME GEM_PATH BUNDLE_GEMFILE BUNDLE_PATH LUA_PATH LUA_CPATH
OCTAVE_PATH MATLABPATH UV_PROJECT_ENVIRONMENT UV_CACHE_DIR UV_PYTHON
TRANSFORMERS_CACHE TRANSFORMERS_OFFLINE TRITON_CACHE_DIR TFDS_DATA_DIR TFHUB_CACHE_DIR
NLTK_DATA SCIKIT_LEARN_DATA MPLBACKEND MPLCONFIGDIR NUMBA_CACHE_DIR WANDB_MODE WANDB_DIR MLFLOW_TRACKING_URI
OPENBLAS_NUM_THREADS BLIS_NUM_THREADS VECLIB_MAXIMUM_THREADS NUMEXPR_NUM_THREADS RAYON_NUM_THREADS POLARS_MAX_THREADS
LOKY_MAX_CPU_COUNT TOKENIZERS_PARALLELISM TF_CPP_MIN_LOG_LEVEL TF_FORCE_GPU_ALLOW_GROWTH TF_ENABLE_ONEDNN_OPTS
TF_DETERMINISTIC_OPS TF_USE_LEGACY_KERAS TF_XLA_FLAGS
HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy all_proxy
SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
"""
_PREFIXES = """
LC_ XDG_ PYTHON CONDA_ MAMBA_ PYENV_ CUDA CUDNN NVIDIA_ NCCL_ ROCM HIP_ HSA_ ROCR_ OMP_ MKL_ KMP_
TORCH_ PYTORCH_ KERAS_ JAX_ XLA_ HF_
"""
BASE_NAMES = frozenset(("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TERM", "TMPDIR"))
"""variables that also exist in containers and on other machines, with values of their own"""
_NEVER = """
_ PWD OLDPWD SHLVL COLUMNS LINES HISTFILE HISTSIZE HISTFILESIZE HISTCONTROL PS1 PS2 PS4 PROMPT PROMPT_COMMAND
RPROMPT IFS BASH_ENV SHELLOPTS BASHOPTS LS_COLORS LESSOPEN LESSCLOSE WINDOWID COLORTERM VTE_VERSION TERM_PROGRAM
TERM_PROGRAM_VERSION TERM_SESSION_ID TMUX TMUX_PANE STY DISPLAY WAYLAND_DISPLAY XAUTHORITY SESSION_MANAGER
DESKTOP_SESSION DBUS_SESSION_BUS_ADDRESS SSH_AUTH_SOCK SSH_AGENT_PID SSH_CLIENT SSH_CONNECTION SSH_TTY SSH_ASKPASS
GPG_AGENT_INFO GPG_TTY SUDO_COMMAND SUDO_USER SUDO_UID SUDO_GID SUDO_ASKPASS GIT_ASKPASS NOTIFY_SOCKET LISTEN_PID
LISTEN_FDS LISTEN_FDNAMES INVOCATION_ID JOURNAL_STREAM MAINPID CREDENTIALS_DIRECTORY
"""
"""names that never travel: state of the shell, terminal or session, which ends before the trials, and its agents"""
_NEVER_PREFIXES = ("ORCHESTUNE_", "BASH_FUNC_", "VSCODE_", "GNOME_", "KITTY_", "ITERM_", "KONSOLE_")
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|(API|ACCESS)_?KEY|PRIVATE|(^|_)AUTH|SESSION", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"://[^/\s]*@"  # a URL with a user or a password
    r"|\b(gh[pousr]_|github_pat_|glpat-|hf_[A-Za-z0-9]{20}|sk-[A-Za-z0-9]|xox[abprs]-|AKIA[0-9A-Z]{16}|eyJ[A-Za-z0-9_-]{10})"
    r"|-----BEGIN"
)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the part of the shell's environment that trials on this machine get and that holds no secrets."""
    names, prefixes = frozenset(_NAMES.split()), tuple(_PREFIXES.split())
    chosen = chosen_home(environ)  # relative paths would have another base there
    home = {"ORCHESTUNE_HOME": str(chosen)} if chosen else {}
    return home | {
        name: value
        for name, value in sorted(environ.items())
        if (name in names or name.startswith(prefixes))
        and not _SECRET_NAME.search(name.replace("TOKENIZERS", ""))
        and not _SECRET_VALUE.search(value)
    }


def inherited_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the other variables of the shell, which trials on this machine inherit: they may be secrets.

    Without names that never travel, and without those that no request can hold: text that is not UTF-8.
    """
    others = environ.keys() - environment(environ).keys() - set(_NEVER.split())
    return {
        name: environ[name]
        for name in sorted(others)
        if not name.startswith(_NEVER_PREFIXES) and _is_utf8(name + environ[name])
    }


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def python(environ: Mapping[str, str]) -> dict[str, str] | None:
    """Return path and version of the shell's Python, without starting it."""
    program = shutil.which("python", path=environ.get("PATH")) or shutil.which("python3", path=environ.get("PATH"))
    if program is None:
        return None
    version = ""
    with suppress(OSError, UnicodeDecodeError):  # not a virtual environment
        for line in (Path(program).parent.parent / "pyvenv.cfg").read_text().splitlines():
            name, _, value = line.partition("=")
            version = value.strip() if name.strip() in ("version", "version_info") else version
    return {"path": program, "version": version or Path(os.path.realpath(program)).name.removeprefix("python")}


def folder_key(folder: Path) -> str:
    """Return the server's key for the folder that an experiment was started from: host and path, as `in_utf8`."""
    return f"{socket.gethostname()}:{in_utf8(Path(os.path.realpath(folder)))}"


def in_utf8(path: Path) -> str:
    """Return the path as valid text; bytes that are not UTF-8 are escaped (`\\xff`)."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def owner(environ: Mapping[str, str]) -> str:
    """Return the user's name."""
    name = environ.get("USER") or environ.get("LOGNAME")
    if name:
        return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid without an entry in the password file
        return str(os.getuid())


def secret_values(
    sources: Iterable[tuple[str, str]], environ: Mapping[str, str], folder: Path, section: str = "secrets."
) -> dict[str, str]:
    """Return the values of (name, `env:NAME` or `file:PATH`). Raises BadInput with each missing name, never a value.

    `section` is the prefix of the names in error messages.
    """
    values: dict[str, str] = {}
    problems: list[Problem] = []
    for name, source in sources:
        kind, _, place = source.partition(":")
        if kind == "env":
            value = environ.get(place)
            if value is None:
                problems.append(Problem(f"the environment variable {place} is not set", key=f"{section}{name}"))
                continue
        else:
            try:
                value = (folder / os.path.expanduser(place)).read_text("utf-8").rstrip("\n")
            except (OSError, UnicodeDecodeError) as exc:
                text = exc.strerror if isinstance(exc, OSError) else "not valid UTF-8"
                problems.append(Problem(f"cannot read the file {place}: {text}", key=f"{section}{name}"))
                continue
            if "\0" in value:
                text = f"the file {place} contains a NUL byte (not possible in environment variables)"
                problems.append(Problem(text, key=f"{section}{name}"))
                continue
        values[name] = value
    if problems:
        raise BadInput(problems)
    return values

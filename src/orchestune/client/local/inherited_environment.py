"""The variables of the shell that trials on this machine inherit. What may be a secret is kept apart from the record.

The server deletes the latter when the experiment is over (`controllers.finishing`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestune.client.local.home import chosen_home

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

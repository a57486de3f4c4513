"""The environment that trials inherit from the shell: what programs need, and no secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestune.client.local.inherited_environment import environment, inherited_environment
from orchestune.client.local.launch_context import folder_key, owner, secret_values
from orchestune.errors import BadInput
from orchestune.worker.environment import of_job


def test_paths_virtual_environments_and_devices_go_along() -> None:
    variables = {
        "PATH": "/bin",
        "VIRTUAL_ENV": "/venv",
        "CONDA_PREFIX": "/conda",
        "CUDA_VISIBLE_DEVICES": "0,1",
        "LD_LIBRARY_PATH": "/lib",
        "HF_HOME": "/cache/hf",
        "LC_ALL": "C.UTF-8",
        "HTTPS_PROXY": "http://proxy:3128",
        "TOKENIZERS_PARALLELISM": "false",
        "KERAS_BACKEND": "torch",
        "PYTHONWARNINGS": "ignore",
        "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.2",
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
        "PERL5LIB": "/home/ada/perl5/lib/perl5",
        "NODE_OPTIONS": "--max-old-space-size=8192",
        "JULIA_PROJECT": "@.",
        "GEM_HOME": "/home/ada/gems",
        "CLASSPATH": "/opt/weka.jar",
        "UV_PROJECT_ENVIRONMENT": "/envs/search",
    }
    assert environment(variables) == variables


def test_a_trial_finds_the_server_of_who_started_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert environment({"ORCHESTUNE_HOME": "state"}) == {"ORCHESTUNE_HOME": str(tmp_path / "state")}
    assert environment({"ORCHESTUNE_HOME": " "}) == {}


def test_what_a_user_says_of_threads_and_shares_reaches_trials_which_else_are_told_our_numbers() -> None:
    job = {"cpu": 2, "gpu": 0.25}
    names_and_values = [os.fsdecode(name) for name in of_job({}, job, "e", "h")]
    names = [name for name in names_and_values if not name.startswith("ORCHESTUNE_")]
    assert {"RAYON_NUM_THREADS", "TF_FORCE_GPU_ALLOW_GROWTH"} <= {*names}
    assert environment(dict.fromkeys(names, "7")) == dict.fromkeys(names, "7")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("WANDB_API_KEY", "x"),
        ("CONDA_TOKEN", "x"),
        ("NVIDIA_API_KEY", "x"),
        ("CUDA_PASSWORD", "x"),
        ("HF_TOKEN", "x"),
        ("TF_VAR_zone", "x"),
        ("HTTPS_PROXY", "http://ada:secret@proxy:3128"),
        ("PYTHONPATH", "ghp_0123456789012345678901234567890123"),
        ("MY_OWN", "1"),
        ("ORCHESTUNE_TOKEN", "x"),
        ("SSH_AUTH_SOCK", "/x"),
        ("DBUS_SESSION_BUS_ADDRESS", "x"),
    ],
)
def test_secrets_and_what_nobody_needs_stay_behind(name: str, value: str) -> None:
    assert environment({name: value}) == {}


def test_the_folder_is_known_by_host_and_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    host, _, path = folder_key(Path()).partition(":")
    assert host
    assert path == str(tmp_path.resolve())


def test_somebody_without_a_name_is_known_by_the_variables_or_the_system() -> None:
    assert owner({"USER": "ada"}) == "ada"
    assert owner({})


def test_secret_values_come_from_variables_and_files(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")
    sources = [("A", "env:MINE"), ("B", "file:token")]
    assert secret_values(sources, {"MINE": "xyz"}, tmp_path) == {"A": "xyz", "B": "abc"}


def test_a_secret_that_no_variable_can_hold_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"abc\0def")
    with pytest.raises(BadInput) as caught:
        secret_values([("A", "file:key")], {}, tmp_path)
    assert "the file key contains a NUL byte" in str(caught.value) and "abc" not in str(caught.value)


def test_every_missing_secret_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        secret_values([("A", "env:MINE"), ("B", "file:token")], {}, tmp_path)
    assert "MINE is not set" in str(caught.value)
    assert "cannot read the file token" in str(caught.value)


def test_a_file_of_a_user_that_there_is_none_of_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"secrets\.A: cannot read the file ~nobody-at-all/key: No such file"):
        secret_values([("A", "file:~nobody-at-all/key")], {}, tmp_path)


def test_the_other_variables_are_inherited_except_those_of_the_session() -> None:
    session_variables = {
        "PATH": "/bin",
        "MY_DATA_DIR": "/data",
        "WANDB_API_KEY": "k",
        "PWD": "/here",
        "SSH_AUTH_SOCK": "/run/agent",
        "BASH_FUNC_module%%": "() { :; }",
        "ORCHESTUNE_TOKEN": "t",
        "LATIN": os.fsdecode(b"\xe9"),
    }
    assert inherited_environment(session_variables) == {"MY_DATA_DIR": "/data", "WANDB_API_KEY": "k"}
    job = {"inherited": {"A": "1", "B": "1"}, "env": {"B": "2", "C": "2"}, "secrets": {"C": "3"}}
    variables = of_job({"A": "0"}, job, "e", "h")
    assert [variables[name] for name in (b"A", b"B", b"C")] == [b"1", b"2", b"3"]

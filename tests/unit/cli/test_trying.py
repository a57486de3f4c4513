"""`test` starts a configuration as a worker of this machine does."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestune.worker.processes.cores import Cores
from tests.testbeds.home import Home
from tests.unit.cli.conftest import Result

Cli = Callable[..., Result]
FILE = """\
run: sh -c 'echo threads=$OMP_NUM_THREADS of $PYTHON_CPU_COUNT; grep Cpus_allowed_list /proc/self/status; echo loss={x}'
parameters: {x: 0..1}
metrics: {loss: minimize}
budget: 1
resources: {cpu: 1, pin: true}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_server: Home) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "experiment.yml").write_text(FILE)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.chdir(folder)
    return folder


def test_it_has_its_cores_for_itself_and_as_many_threads(project: Path, cli: Cli, local_server: Home) -> None:
    before = os.sched_getaffinity(0)
    done = cli("test")
    assert done.code == 0, done
    allowed = next(line for line in done.out.splitlines() if line.startswith("Cpus_allowed_list"))
    assert "threads=1 of 1\n" in done.out and int(allowed.split()[1]) in before
    assert os.sched_getaffinity(0) == before
    others = Cores(local_server.folder / "cores")
    assert others.reserve("another", len(before)), "it gave them back"
    done = cli("test")
    assert "orchestune: not pinned: too few cores are free of other pinned trials (requested: 1)\n" in done.out
    assert "threads=1 of 1\n" in done.out
    others.release("another")


SMI = """#!/bin/sh
case "$1" in
-L) echo 'GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-a)'; echo 'GPU 1: Tesla T4 (UUID: GPU-b)';;
*) echo 'GPU-a, 40960'; echo 'GPU-b, 15360';;
esac
"""
ON_CARDS = """\
run: sh -c 'echo cards=$CUDA_VISIBLE_DEVICES share=$ORCHESTUNE_GPU_SHARE; echo loss={x}'
parameters: {x: 0..1}
metrics: {loss: minimize}
budget: 1
"""


@pytest.mark.parametrize(
    ("gpu", "devices"),
    [("1", "cards=1 share="), ("0.5", "cards=1 share=0.5"), ("{count: 1, type: a100}", "cards=0 share=")],
)
def test_it_has_the_cards_that_a_worker_would_give_it(
    project: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: str, devices: str
) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(SMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (project / "experiment.yml").write_text(f"{ON_CARDS}resources: {{gpu: {gpu}}}\n")
    with Home() as home:  # whose server finds the GPUs
        monkeypatch.setenv("ORCHESTUNE_HOME", str(home.folder))
        done = cli("test")
    assert (done.code, f"{devices}\n" in done.out, "without an assigned GPU" in done.err) == (0, True, False), done


def test_it_tells_beforehand_what_the_plan_of_a_run_would_note(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNED_FOR", "speed")
    (project / "experiment.yml").unlink()
    (project / "train.py").write_text("import os\nprint('loss=1', os.environ.get('TUNED_FOR'))\n")
    words = ("--minimize", "loss", "x=0..1:float", "--", "python", "train.py", "{x}")
    done = cli("test", *words)
    assert (done.err, "loss=1 speed" in done.out) == ("", True)
    done = cli("test", "--set", "env.inherit=false", *words)
    assert done.err.startswith("note  the command reads TUNED_FOR of this shell, which trials do not get")
    assert "loss=1 None" in done.out
    assert cli("test", "--json", *words).err == "loss=1 speed\n"


def test_a_program_that_is_not_there_is_no_advice_to_print_a_metric(project: Path, cli: Cli) -> None:
    (project / "experiment.yml").unlink()
    (project / "solver").touch()
    done = cli("test", "--minimize", "loss", "x=0..1:float", "--", "solver", "{x}")
    note = "note  no program 'solver' in PATH of this machine (the one in this folder is './solver')\n"
    assert done.err == note
    assert done.out.splitlines()[-2] == "missing  loss"


def test_it_goes_on_without_cards_where_there_are_none_and_says_so(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (project / "experiment.yml").write_text(f"{ON_CARDS}resources: {{gpu: 2, cpu: 4000}}\n")
    done = cli("test")
    note = "it ran without an assigned GPU: this machine has none that fits the request (2 gpu)\n"
    assert done.code == 0 and note in done.err and "cards= share=\n" in done.out, done


def test_a_character_that_comes_in_two_parts_is_shown_whole(project: Path, cli: Cli) -> None:
    (project / "train.py").write_text(
        "import os, time\nos.write(1, b'gr\\xc3')\ntime.sleep(0.3)\nos.write(1, b'\\xb6\\xc3\\x9fe loss=0.5\\n')\n"
    )
    (project / "experiment.yml").write_text(FILE.partition("\n")[2].replace("resources", "labels").replace(
        "{cpu: 1, pin: true}", "{}") + f"run: {sys.executable} train.py\n")  # fmt: skip
    done = cli("test")
    assert done.code == 0, done
    assert "größe loss=0.5" in done.out


def test_its_document_is_json_whatever_numbers_came(project: Path, cli: Cli) -> None:
    (project / "experiment.yml").write_text(FILE.replace("loss={x}", "loss=nan other=inf"))
    done = cli("test", "--json")
    document = json.loads(done.out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert (done.code, document["metrics"]["loss"]["value"], "other" in document["extra"]) == (1, None, False)
    assert document["problem"] == "loss is nan; only finite values count"


def test_a_number_that_may_mean_two_fails_it_and_is_told(project: Path, cli: Cli) -> None:
    for printed, message in (
        ("loss=1,234", "failed   the value of loss is ambiguous: it was reported as 1,234, which may be 1234"),
        ("loss=0,693", "missing  loss: `loss=0,693` is not parsed as a number; print a decimal point"),
    ):
        (project / "experiment.yml").write_text(FILE.replace("loss={x}", printed))
        done = cli("test")
        assert done.code == 1 and message in done.out, done

"""Every block of code in the pages is run or read by the product itself, here or by a test that is named here."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestune.cli.main import parse_command_line
from orchestune.config.cluster_file import read as cluster_file
from orchestune.config.experiment_file import parse
from tests.testbeds.home import Home
from tests.testbeds.pages import ROOT, Block, blocks

pytestmark = pytest.mark.timeout(600)
BLOCKS = list(blocks())
RUN_BY = {
    "docs/tutorial.md": "tests/e2e/test_readme.py",
    "docs/how-to/collect-metrics.md": "tests/e2e/test_collected_metrics.py",
    "docs/how-to/ways-into-a-script.md": "tests/e2e/test_ways_into_a_script.py",
    "docs/how-to/training-libraries.md": "tests/integration/callbacks/test_page.py",
    "docs/how-to/hydra.md": "tests/e2e/test_hydra.py",
    "docs/how-to/start-from-a-script.md": "tests/e2e/test_init.py",
    "docs/reference/protocol.md": "tests/unit/server/test_routes.py",
    "docs/reference/cli.md": "tests/unit/cli/test_help.py",
}
"""pages whose blocks are run, or compared with the code that they come from, by a test of their own"""
GENERATED = ("docs/reference/python.md", "docs/explanation/state-machines.md", "docs/how-to/permissions.md")
"""made by docs/generate.py from the code, whose examples run as doctests"""
PROSE = {
    "mermaid": "a drawing",
    "json": "forms of documents, with … for what is left out",
    "": "what is printed; the commands in it are read",
    "console": "what is printed; the commands in it are read",
}
FILE_OF_ANOTHER_TOOL = ("sweep.yaml", "conf/config.yaml", "conf/base.yml")
NEEDS = {
    r"(make|pip|cd) ": "the clone itself: `.ci/run` calls make, tests/e2e/test_wheel.py installs",
    r"orchestune run$|cd my-project": "tests/e2e/test_readme.py runs the README's experiment",
    r"orchestune cluster ": "a cluster: tests/kubernetes",
    r"orchestune (run|test) --cluster ": "a cluster: tests/kubernetes, tests/docker, tests/e2e/test_slurm.py",
    r"orchestune (logs --follow|status --all)$": "a cluster: tests/kubernetes",
    r"orchestune run --notify env:": "an address that listens: tests/e2e/test_messages.py",
    r"orchestune server .*postgresql:": "a database and an object store: tests/integration, tests/contract",
    r"(export|orchestune status)( |$)": "a hosted server: tests/e2e/test_promises_server.py",
    r"docker ps": "an engine: tests/docker",
    r"kubectl ": "a cluster: tests/kubernetes/test_rights.py",
    r"ssh ": "another machine",
    r"orchestune ui( sgd-7f3a)?$": "a browser: tests/pages; with --print it runs here",
    r"orchestune export .*--to (wandb|trackio)": "packages installed aside: `make test-trackers`",
    r"orchestune init --from sqlite": "a study of Optuna: tests/unit/cli/test_init.py",
    r"orchestune rerun .*--continue": "a trial with a checkpoint: tests/e2e/test_promises_files.py",
}
"""commands that need more than a folder and this machine, and what tries them"""
FILES_OF_CLUSTERS = ("docs/how-to/aws.md", "docs/reference/cluster-file.md")
"""pages whose YAML is a cluster file, or keys of one"""
CLUSTER = {
    "cloud_provider": "cloud_provider: aws",
    "cluster_name": "cluster_name: vision",
    "[cg]pu": "cpu: {instance_type: m7i.large, min_nodes: 1, max_nodes: 2}",
}
BASE = {
    "run": "run: python train.py {args}",
    "parameters": "parameters: {alpha: 1e-5..1 log, penalty: [l1, l2]}",
    "metrics": "metrics: {accuracy: maximize}",
    "budget": "budget: 40",
}
"""what an experiment file has besides the keys that a page shows"""
ADVICE = "the URL is uploaded with the code"
"""what is said of an address that stands in a file, and no mistake"""
SCRIPT = """
import sys
given = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:] if "=" in word)
loss = 1.0 + sum(float(value) for value in given.values() if value.replace(".", "").replace("e-", "").isdigit())
print(f"val/loss={loss}\\naccuracy={1 / loss}\\nloss={loss}")
"""
PRELUDES = {
    "README.md": "import orchestune\ntrain = lambda lr, layers: lr * layers",
    "docs/how-to/folds.md": "import os\nfrom sklearn.model_selection import StratifiedKFold\n"
    "os.environ |= {'ORCHESTUNE_FOLD': '1', 'ORCHESTUNE_FOLDS': '2'}\ndata, kinds = [[1]] * 8, [0, 1] * 4",
    "docs/how-to/resources.md": "import os, types\nlimits = []\ntorch = types.SimpleNamespace("
    "cuda=types.SimpleNamespace(set_per_process_memory_fraction=limits.append))",
    "docs/how-to/messages.md": "import datetime\nfrom standardwebhooks import Webhook\n"
    "body, now = '{}', datetime.datetime.now(datetime.timezone.utc)\n"
    "signature = Webhook('whsec_c2VjcmV0c2VjcmV0').sign('1', now, body)\n"
    "headers = {'webhook-id': '1', 'webhook-timestamp': str(int(now.timestamp())), 'webhook-signature': signature}",
    "docs/search.md": "train = lambda lr, model: lr",
    "docs/how-to/python.md": "import orchestune\nfrom pathlib import Path\nPath('model.bin').touch()\n"
    "load = lambda folder: 98\ntrain = lambda *values: 0.5\n"
    "from sklearn.datasets import load_iris\nfrom sklearn.svm import SVC\nX, y = load_iris(return_X_y=True)",
}
"""what the reader of a page has: names that its blocks of Python use"""
SMALLER_BUDGETS = [
    (r"budget=40", "budget=2"),
    (r"n_iter=40", "n_iter=2"),
    (r"range\(40\)", "range(2)"),
    (r'cluster="lab"', "cluster=None"),
    (r'"train-7f3a"', "experiment.handle"),
    (r"whsec_…", "whsec_c2VjcmV0c2VjcmV0"),
]
"""so that it takes seconds, here"""


def of(*languages: str) -> list[Block]:
    own = [block for block in BLOCKS if block.page not in RUN_BY and block.page not in GENERATED]
    return [block for block in own if block.language in languages and not block.name]


def place(block: Block) -> str:
    return block.place


def test_every_block_is_run_or_read_by_some_test() -> None:
    handled = {"yaml", "python", "sh", *PROSE}
    named = [block for block in BLOCKS if block.name and block.page not in RUN_BY]
    assert [block.place for block in BLOCKS if block.language not in handled] == []
    assert [block.place for block in named if block.name not in FILE_OF_ANOTHER_TOOL] == []


@pytest.mark.parametrize("page", RUN_BY)
def test_the_test_that_runs_a_page_reads_it(page: str) -> None:
    assert Path(page).name.removesuffix(".md") in (ROOT / RUN_BY[page]).read_text() or page == "docs/tutorial.md"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.commands()], ids=place)
def test_the_command_line_takes_every_command_of_a_page(block: Block) -> None:
    for command in block.commands():
        words = shlex.split(command.rpartition("&& ")[2], comments=True)
        if words[0] == "orchestune" and words[1] != "server":  # whose options another parser reads
            assert parse_command_line(words[1:]).command == words[1], command


@pytest.mark.parametrize("block", [block for block in of("yaml") if block.page not in FILES_OF_CLUSTERS], ids=place)
def test_the_reader_of_experiment_files_takes_every_example(block: Block, tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("alpha,penalty,accuracy\n0.01,l1,0.9\n")
    loaded = parse(_with(block, BASE), block.place, path=tmp_path / "experiment.yml")
    assert [note for note in loaded.notes if ADVICE not in note] == []


@pytest.mark.parametrize("block", [block for block in of("yaml") if block.page in FILES_OF_CLUSTERS], ids=place)
def test_the_reader_of_cluster_files_takes_every_example(block: Block) -> None:
    assert cluster_file.parse(_with(block, CLUSTER), block.place).notes == ()


def _with(block: Block, lines: dict[str, str]) -> str:
    """The block with what it leaves out."""
    missing = [line for key, line in lines.items() if not re.search(rf"^{key}:", block.text, re.MULTILINE)]
    return "\n".join([block.text, *missing, ""])


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with Home() as home:
        yield home


def test_every_command_that_needs_no_more_than_a_folder_is_run(home: Home, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    space = ["--minimize", "val/loss", "lr=1e-5..1e-1:log", "--budget", "12", "--parallel", "2"]
    handles = []
    for _ in range(2):
        home.run("run", "--name", "sgd", *space, "--", sys.executable, "train.py", "{args}", cwd=tmp_path)
        handles.append(home.json("status")[0]["handle"])
    run = []
    for block in of("sh"):
        for command in block.commands():
            if any(re.match(pattern, command.partition(" #")[0].strip()) for pattern in NEEDS):
                continue
            command = command.replace("sgd-7f3a", handles[0]).replace("sgd-91c2", handles[1])
            command = re.sub(r"--budget 40 --parallel 4", "--budget 2 --parallel 2", command)
            environ = {**home.env, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
            done = subprocess.run(
                ["sh", "-c", command], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=200
            )
            assert done.returncode == 0, f"{block.place}: {command}\n{done.stdout}{done.stderr}{home.server_log()}"
            run.append(command)
    assert len(run) >= 9, run


@pytest.mark.parametrize("block", of("python"), ids=place)
def test_every_block_of_python_runs(block: Block, home: Home, tmp_path: Path) -> None:
    text = block.text
    for pattern, smaller in SMALLER_BUDGETS:
        text = re.sub(pattern, smaller, text)
    script = f"{PRELUDES[block.page]}\nif True:\n{textwrap.indent(text, '    ')}"
    (tmp_path / "block.py").write_text(script)
    (tmp_path / "train.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "block.py"], cwd=tmp_path, env=home.env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{block.place}\n{script}\n{done.stdout}{done.stderr}"

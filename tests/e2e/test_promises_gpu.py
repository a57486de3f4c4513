"""Cards are held by one trial at a time, on a machine that pretends to have two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.scene import launch, reached, write
from tests.testbeds.home import Home

LIST = "#!/bin/sh\necho 'GPU 0: Pretended (UUID: GPU-a)'\necho 'GPU 1: Pretended (UUID: GPU-b)'\n"
HOLD_GPU = (
    "held=$ORCHESTUNE_ORIGINAL_DIR/held-$CUDA_VISIBLE_DEVICES; mkdir $held || exit 9;"
    "sleep 0.2; rmdir $held; echo card $CUDA_VISIBLE_DEVICES; echo loss={x}"
)


@pytest.fixture
def home_with_cards(tmp_path: Path) -> Iterator[Home]:
    program = tmp_path / "bin/nvidia-smi"
    program.parent.mkdir()
    program.write_text(LIST)
    program.chmod(0o755)
    with Home() as home:
        home.env = {name: value for name, value in home.env.items() if name != "CUDA_VISIBLE_DEVICES"}
        home.env["PATH"] = f"{program.parent}:{home.env['PATH']}"
        yield home


def test_trials_share_no_card_and_wait_for_a_free_one(home_with_cards: Home, tmp_path: Path) -> None:
    home = home_with_cards
    hold = HOLD_GPU.replace("$ORCHESTUNE_ORIGINAL_DIR", str(tmp_path))
    projects = [write(tmp_path / name, hold, resources={"gpu": 1}, budget=5, parallelism=4) for name in ("one", "two")]
    handles = [launch(home, project) for project in projects]
    for handle in handles:
        status = reached(home, handle, "completed")
        assert (status["counts"]["completed"], status["counts"]["failed"]) == (5, 0)
        trials = [home.json("trials", f"{handle}/{number}") for number in range(1, 6)]
        gpus = [tuple(trial["attempts"][0]["gpus"]) for trial in trials]
        assert set(gpus) <= {("0",), ("1",)}
        for trial, (card,) in zip(trials, gpus, strict=True):
            assert f"card {card}" in home.run("logs", f"{handle}/{trial['number']}").stdout


def test_more_cards_than_there_are_never_fit_and_it_says_so(home_with_cards: Home, tmp_path: Path) -> None:
    home = home_with_cards
    done = home.run("run", "--detach", cwd=write(tmp_path / "greedy", HOLD_GPU, resources={"gpu": 3}), expect=None)
    if done.returncode == 0:
        status = home.json("status", done.stdout.strip())
        assert status["reason"]["code"] == "never_fits"
    else:
        assert "gpu" in done.stderr


def test_trials_get_the_cards_that_the_shell_names_which_said_run(home_with_cards: Home, tmp_path: Path) -> None:
    home = home_with_cards
    project = write(tmp_path / "named", "echo loss={x}", resources={"gpu": 1}, budget=3, parallelism=2)

    def cards(visible: str) -> set[str]:
        home.env["CUDA_VISIBLE_DEVICES"] = visible
        handle = launch(home, project)
        assert reached(home, handle, "completed")["counts"]["completed"] == 3
        trials = [home.json("trials", f"{handle}/{number}") for number in range(1, 4)]
        return {card for trial in trials for card in trial["attempts"][0]["gpus"]}

    assert cards("1") == {"1"}, "as the shell that started the server says too"
    assert cards("0") == {"0"}
    assert cards("GPU-b") == {"1"}
    more = ("run", "--set", "resources.gpu=2")
    refused = home.run(*more, cwd=project, expect=2).stderr
    assert "a trial needs 2 gpu, and CUDA_VISIBLE_DEVICES names only 1; this machine has 2 x Pretended" in refused
    assert "list more GPUs in CUDA_VISIBLE_DEVICES" in refused
    del home.env["CUDA_VISIBLE_DEVICES"]
    home.run(*more, cwd=project)


NAMED = """#!/bin/sh
case "$1" in
-L) echo 'GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-a)'; echo 'GPU 1: Tesla T4 (UUID: GPU-b)';;
*) echo 'GPU-a, 40960'; echo 'GPU-b, 15360';;
esac
"""


def test_shares_of_a_card_run_side_by_side_and_a_whole_card_is_nobody_elses(
    home_with_cards: Home, tmp_path: Path
) -> None:
    """Trials that share the card leave a file while they run; the trial that has a card alone looks for such files."""
    home = home_with_cards
    (tmp_path / "bin/nvidia-smi").write_text(NAMED)
    held = f"{tmp_path}/held-$CUDA_VISIBLE_DEVICES"
    meet = (
        f"mkdir -p {held}; touch {held}/$ORCHESTUNE_TRIAL; echo share $ORCHESTUNE_GPU_SHARE;"
        f"until [ -e {tmp_path}/met ]; do set -- {held}/*; [ $# -lt 4 ] || touch {tmp_path}/met; sleep 0.02; done;"
        f"rm {held}/$ORCHESTUNE_TRIAL; echo card $CUDA_VISIBLE_DEVICES; echo loss={{x}}"
    )
    shares = write(
        tmp_path / "shares", meet, resources={"gpu": {"count": 0.25, "type": "a100"}}, budget=6, parallelism=6
    )
    handle = launch(home, shares)
    status = reached(home, handle, "completed")
    assert (status["counts"]["completed"], status["counts"]["failed"]) == (6, 0)
    logs = home.run("logs", handle).stdout
    assert logs.count("card 0") == 6 and "card 1" not in logs and "share 0.25" in logs

    alone = f"mkdir {held}-alone || exit 9; sleep 0.1; rmdir {held}-alone; echo loss={{x}}"
    whole = launch(home, write(tmp_path / "whole", alone, resources={"gpu": 1}, budget=4, parallelism=4))
    assert reached(home, whole, "completed")["counts"]["failed"] == 0


def test_cards_that_are_not_there_are_refused_with_those_that_are(home_with_cards: Home, tmp_path: Path) -> None:
    home = home_with_cards
    (tmp_path / "bin/nvidia-smi").write_text(NAMED)
    project = write(tmp_path / "picky", "true", resources={"gpu": {"count": 1, "type": "h100"}})
    for words in (["run", "--detach"], ["run", "--dry-run"]):
        done = home.run(*words, cwd=project, expect=2)
        assert "a trial needs 1 gpu of type h100" in done.stderr
        assert "1 x NVIDIA A100-SXM4-40GB (40 GiB), 1 x Tesla T4 (15 GiB)" in done.stderr

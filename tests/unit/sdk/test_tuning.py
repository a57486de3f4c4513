"""What `tune` makes of the end of an experiment."""

from __future__ import annotations

from typing import Any

import pytest

from orchestune.errors import UsageError
from orchestune.sdk.tuning import _checked, start


class _Experiment:
    """In this state, with one trial that completed."""

    def __init__(self, state: str, code: str) -> None:
        self.state, self.code = state, code

    def status(self) -> dict[str, Any]:
        counts = {"completed": 1, "failed": 0, "pruned": 0}
        reason = {"code": self.code, "message": "all gave the same"}
        return {"handle": "f-7f3a", "state": self.state, "reason": reason, "counts": counts}


def test_an_end_by_a_guard_is_told_in_a_warning() -> None:
    experiment: Any = _Experiment("paused", "identical_metrics")
    with pytest.warns(UserWarning, match=r"f-7f3a is paused, .*: all gave the same; resume\(\) lets it go on"):
        assert _checked(experiment) is experiment


@pytest.mark.parametrize(("state", "code"), [("completed", "budget"), ("paused", "paused_by_user")])
def test_another_end_is_no_reason_for_a_warning(state: str, code: str) -> None:
    experiment: Any = _Experiment(state, code)
    assert _checked(experiment) is experiment


def test_what_keeps_files_of_a_folder_in_which_no_function_runs_is_refused() -> None:
    with pytest.raises(UsageError, match="keep: of no effect, since the function runs in the current folder"):
        start(lambda x: x, {"x": [1, 2]}, {"y": "minimize"}, budget=2, keep=["*.pt"])

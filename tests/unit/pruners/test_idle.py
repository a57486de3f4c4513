"""Early-stopping rules that can never end anything are detected by the length of trials."""

from __future__ import annotations

import pytest

from orchestune.domain.specification.early_stopping import EarlyStopping
from orchestune.pruners.diagnosis import TrialProgress, why_idle
from tests.contract.pruner_contract import ACCURACY

LATE_TRIALS = [TrialProgress(20.0, 20), TrialProgress(19.0, 19)]


@pytest.mark.parametrize(
    ("rule", "trials", "why"),
    [
        (EarlyStopping("asha"), LATE_TRIALS, None),
        (EarlyStopping("asha"), [], None),
        (EarlyStopping("asha"), [TrialProgress(3.0, 3)], "step 1: the next comparison is at step 4 (`reduction`)"),
        (EarlyStopping("median", min_steps=20), [TrialProgress(20.0, 4), TrialProgress(21.0, 4)], None),
        (
            EarlyStopping("asha", min_steps=21),
            LATE_TRIALS,
            "it compares from step 21 on (`min_steps`), and the trials end at step 20",
        ),
        (EarlyStopping("asha"), [TrialProgress(1.0, 1)] * 9, "each reports accuracy only once"),
        (
            EarlyStopping("asha", reduction=50),
            LATE_TRIALS,
            "it compares from 50 trials on (`reduction`), and the budget is 40",
        ),
        (
            EarlyStopping("hyperband", min_steps=8, reduction=4),
            LATE_TRIALS,
            "step 8: the next comparison is at step 32 (`reduction`)",
        ),
        (EarlyStopping("median", interval=100), LATE_TRIALS, "step 1: the next comparison is at step 101 (`interval`)"),
        (EarlyStopping("wilcoxon", min_steps=17), LATE_TRIALS, None),
        (
            EarlyStopping("wilcoxon", min_steps=18),
            LATE_TRIALS,
            "needs 4 comparisons, the last at step 21 (`min_steps`, `interval`), and the trials end at step 20",
        ),
        (
            EarlyStopping("asha"),
            [TrialProgress(20.0, 20, 0.12), TrialProgress(20.0, 20, 0.3)],
            "they end within 0.3 s, before",
        ),
        (EarlyStopping("asha"), [TrialProgress(20.0, 20, 0.12), TrialProgress(20.0, 20, 9.0)], None),
    ],
)
def test_why_nothing_is_ended_is_told(rule: EarlyStopping, trials: list[TrialProgress], why: str | None) -> None:
    reason = why_idle(rule, ACCURACY, trials, 40)
    assert (why is None) is (reason is None), reason
    assert why is None or why in (reason or "")

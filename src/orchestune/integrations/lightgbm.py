"""LightGBM: `lightgbm.train(…, valid_sets=[valid], callbacks=[OrchestuneCallback()])`."""

from __future__ import annotations

from collections.abc import Mapping

from lightgbm.callback import CallbackEnv, EarlyStopException

from orchestune.integrations.naming import report_chosen
from orchestune.sdk.trial_end import should_stop


class OrchestuneCallback:
    """Reports each evaluation after each iteration, and ends the boosting when the trial is to end.

    `valid_0-l2` is the metric `l2` of the data `valid_0`. The step counts finished iterations. `metrics` chooses some
    and names them: `{"loss": "valid_0-l2"}`.
    """

    order = 40
    """after all of LightGBM's own callbacks (the last has 30), so that nothing of this iteration is lost"""

    def __init__(self, metrics: Mapping[str, str] | None = None) -> None:
        self._metrics = metrics

    def __call__(self, env: CallbackEnv) -> None:
        results = env.evaluation_result_list or []
        measured = {f"{data}-{metric}": value for data, metric, value, *_ in results}
        spread = {f"{data}-{metric}": rest[0] for data, metric, _, _, *rest in results if rest}  # lightgbm.cv
        report_chosen(measured, self._metrics, step=env.iteration + 1, stddev=spread)
        if should_stop():
            raise EarlyStopException(env.iteration, results)

"""LightGBM: `lightgbm.train(…, valid_sets=[valid], callbacks=[OrchestuneCallback()])`."""

from __future__ import annotations

from collections.abc import Mapping

from lightgbm.callback import CallbackEnv, EarlyStopException

from orchestune.integrations.naming import report_chosen
from orchestune.sdk.trial_end import should_stop


class OrchestuneCallback:
    """Reports the evaluations of each iteration, and stops boosting when the trial should end.

    `valid_0-l2` is the metric `l2` of the data `valid_0`. The step is the number of finished iterations. `metrics`
    selects and renames metrics: `{"loss": "valid_0-l2"}`.
    """

    order = 40
    """after LightGBM's own callbacks (the last has 30), so that nothing of this iteration is lost"""

    def __init__(self, metrics: Mapping[str, str] | None = None) -> None:
        self._metrics = metrics

    def __call__(self, env: CallbackEnv) -> None:
        results = env.evaluation_result_list or []
        values = {f"{data}-{metric}": value for data, metric, value, *_ in results}
        deviations = {f"{data}-{metric}": rest[0] for data, metric, _, _, *rest in results if rest}  # lightgbm.cv
        report_chosen(values, self._metrics, step=env.iteration + 1, stddev=deviations)
        if should_stop():
            raise EarlyStopException(env.iteration, results)

"""XGBoost: `xgboost.train(…, evals=[(valid, "valid")], callbacks=[OrchestuneCallback()])`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xgboost.callback import TrainingCallback

from orchestune.integrations.naming import report_chosen
from orchestune.sdk.trial_end import should_stop


class OrchestuneCallback(TrainingCallback):
    """Reports the evaluations of each round, and stops boosting when the trial should end.

    Names are those that XGBoost prints: `valid-rmse` is the metric `rmse` of the data `valid`. The step is the number
    of finished rounds, including those of the model that training continues. `metrics` selects and renames metrics:
    `{"loss": "valid-rmse"}`.
    """

    def __init__(self, metrics: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._metrics = metrics
        self._before = 0
        """rounds of the model that training continues"""

    def before_training(self, model: Any) -> Any:
        self._before = model.num_boosted_rounds()
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Mapping[str, Any]]) -> bool:
        last_round, values_by_name, deviations = self._before + epoch, {}, {}
        for data, values in evals_log.items():
            for metric, history in values.items():
                latest = history[-1]
                name = f"{data}-{metric}"
                if isinstance(latest, tuple):  # xgboost.cv: mean and standard deviation over the folds
                    values_by_name[name], deviations[name] = latest
                else:
                    values_by_name[name] = latest
        report_chosen(values_by_name, self._metrics, step=last_round + 1, stddev=deviations)
        stop = should_stop()
        if stop and model.attr("best_iteration") is None:
            model.set_attr(best_iteration=str(last_round))  # xgboost.cv reads it as its own early stopping
        return stop

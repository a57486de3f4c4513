"""XGBoost: `xgboost.train(…, evals=[(valid, "valid")], callbacks=[OrchestuneCallback()])`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xgboost.callback import TrainingCallback

from orchestune.integrations.naming import report_chosen
from orchestune.sdk.trial_end import should_stop


class OrchestuneCallback(TrainingCallback):
    """Reports each evaluation after each round, and ends the boosting when the trial is to end.

    Names are as XGBoost prints them: `valid-rmse` is the metric `rmse` of the data `valid`. The step counts finished
    rounds, with those of a model that the training goes on from. `metrics` chooses some and names them:
    `{"loss": "valid-rmse"}`.
    """

    def __init__(self, metrics: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._metrics = metrics
        self._before = 0
        """rounds of the model that the training goes on from"""

    def before_training(self, model: Any) -> Any:
        self._before = model.num_boosted_rounds()
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Mapping[str, Any]]) -> bool:
        last_round, measured, spread = self._before + epoch, {}, {}
        for data, values in evals_log.items():
            for metric, history in values.items():
                last = history[-1]
                name = f"{data}-{metric}"
                if isinstance(last, tuple):  # xgboost.cv: mean and standard deviation over the folds
                    measured[name], spread[name] = last
                else:
                    measured[name] = last
        report_chosen(measured, self._metrics, step=last_round + 1, stddev=spread)
        stop = should_stop()
        if stop and model.attr("best_iteration") is None:
            model.set_attr(best_iteration=str(last_round))  # xgboost.cv takes who ends it for its own early stopping
        return stop

"""Keras 3, on any backend: `model.fit(…, callbacks=[OrchestuneCallback()])`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from orchestune.integrations.naming import report_chosen
from orchestune.sdk.trial_end import should_stop


class OrchestuneCallback(keras.callbacks.Callback):
    """Reports the logs of each epoch (`loss`, `val_loss`, …), and ends `fit` when the trial is to end.

    The step counts finished epochs, those of an earlier `fit` with the same callback too. `metrics` chooses some and
    names them: `{"loss": "val_loss"}`.
    """

    def __init__(self, metrics: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._metrics = metrics
        self._before = self._done = 0
        """epochs that the earlier fits took, and all those that are finished"""

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._before + epoch < self._done:  # a fit that counts from the beginning
            self._before = self._done - epoch
        self._done = self._before + epoch + 1
        report_chosen(logs or {}, self._metrics, step=self._done)
        if should_stop():
            self.model.stop_training = True

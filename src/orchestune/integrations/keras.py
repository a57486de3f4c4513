"""Keras 3, on any backend: `model.fit(…, callbacks=[OrchestuneCallback()])`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from orchestune.integrations.naming import report_chosen
from orchestune.sdk.trial_end import should_stop


class OrchestuneCallback(keras.callbacks.Callback):
    """Reports the logs of each epoch (`loss`, `val_loss`, …), and stops `fit` when the trial should end.

    The step is the number of finished epochs, including those of earlier `fit` calls with the same callback. `metrics`
    selects and renames metrics: `{"loss": "val_loss"}`.
    """

    def __init__(self, metrics: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._metrics = metrics
        self._before = self._done = 0
        """epochs of earlier fits, and all finished epochs"""

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._before + epoch < self._done:  # a new fit counts from 0 again
            self._before = self._done - epoch
        self._done = self._before + epoch + 1
        report_chosen(logs or {}, self._metrics, step=self._done)
        if should_stop():
            self.model.stop_training = True

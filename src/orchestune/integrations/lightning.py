"""PyTorch Lightning, as `lightning` or `pytorch_lightning`: `Trainer(callbacks=[OrchestuneCallback()])`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestune.integrations.naming import report_chosen
from orchestune.sdk.trial_end import should_stop

try:
    from lightning.pytorch.callbacks import Callback
except ImportError:  # the package under its other name; their classes are not the same
    from pytorch_lightning.callbacks import Callback


class OrchestuneCallback(Callback):
    """Reports what the module logged, and ends the fit when the trial is to end.

    It does so after each epoch, and after each validation within one. The step counts epochs: 2 when the second one is
    over, 1.5 in its middle. In training over several processes the first one reports, and all end together. `metrics`
    chooses some and names them: `{"loss": "val_loss"}`.
    """

    def __init__(self, metrics: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._metrics = metrics

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._tell(trainer, trainer.current_epoch + 1)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        done = trainer.fit_loop.epoch_loop.batch_progress.current.ready / trainer.num_training_batches
        if done < 1:  # the end of the epoch comes, with what was logged in training too
            self._tell(trainer, trainer.current_epoch + done)

    def _tell(self, trainer: Any, epochs: float) -> None:
        if trainer.is_global_zero:
            report_chosen(trainer.callback_metrics, self._metrics, step=epochs)
        if trainer.strategy.reduce_boolean_decision(should_stop(), all=False):
            trainer.should_stop = True

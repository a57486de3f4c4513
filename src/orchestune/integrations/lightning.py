"""PyTorch Lightning, as `lightning` or `pytorch_lightning`: `Trainer(callbacks=[OrchestuneCallback()])`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestune.integrations.naming import report_chosen
from orchestune.sdk.trial_end import should_stop

try:
    from lightning.pytorch.callbacks import Callback
except ImportError:  # the older package name; their classes are not the same
    from pytorch_lightning.callbacks import Callback


class OrchestuneCallback(Callback):
    """Reports the logged metrics, and stops the fit when the trial should end.

    It does so after each epoch and each validation within an epoch. The step counts epochs: 2 after the second one, 1.5
    in its middle. In distributed training, rank 0 reports and all processes stop together. `metrics` selects and
    renames metrics: `{"loss": "val_loss"}`.
    """

    def __init__(self, metrics: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._metrics = metrics

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._report(trainer, trainer.current_epoch + 1)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        fraction = trainer.fit_loop.epoch_loop.batch_progress.current.ready / trainer.num_training_batches
        if fraction < 1:  # at 1, the end of the epoch reports, with the training metrics
            self._report(trainer, trainer.current_epoch + fraction)

    def _report(self, trainer: Any, epochs: float) -> None:
        if trainer.is_global_zero:
            report_chosen(trainer.callback_metrics, self._metrics, step=epochs)
        if trainer.strategy.reduce_boolean_decision(should_stop(), all=False):
            trainer.should_stop = True

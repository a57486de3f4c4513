"""Hugging Face Transformers: `Trainer(…, callbacks=[OrchestuneCallback()])`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import TrainerCallback

from orchestune.integrations.naming import report_chosen
from orchestune.sdk.trial_end import should_stop


class OrchestuneCallback(TrainerCallback):
    """Reports the metrics that the trainer evaluates (`eval_loss`, …) and logs; ends the training with the trial.

    The step counts epochs as the trainer prints them: 1.5 in the middle of the second. In distributed training, rank 0
    reports and all processes stop together. `metrics` selects and renames metrics: `{"loss": "eval_loss"}`.
    """

    def __init__(self, metrics: Mapping[str, str] | None = None) -> None:
        self._metrics = metrics

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
        if state.is_world_process_zero:
            numbers = {name: value for name, value in (logs or {}).items() if name != "epoch"}
            report_chosen(numbers, self._metrics, step=state.epoch)

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        return self._stop_if_due(args, control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        return self._stop_if_due(args, control)

    def _stop_if_due(self, args: Any, control: Any) -> Any:
        if _any_process(should_stop(), args.device):
            control.should_training_stop = True
        return control


def _any_process(stop: bool, device: Any) -> bool:
    """Return True if any process of a distributed training should stop; all of them call this at the same point."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return stop
    votes = torch.tensor(int(stop), device=device)
    torch.distributed.all_reduce(votes, torch.distributed.ReduceOp.MAX)
    return bool(votes.item())

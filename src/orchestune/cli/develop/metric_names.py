"""Guess the metric to optimize and its goal from the names of reported values."""

from __future__ import annotations

import re
from collections.abc import Collection

_MAXIMIZED = (
    r"acc\w*|.*accuracy|auc|auroc|f1\w*|.*score|precision|recall|r2|iou|miou|m?ap\d*|bleu|rouge\w*|reward|return|top\d"
    r"|dice|ndcg"
)
_MINIMIZED = r".*loss|.*error|err|.*rmse|mse|mae|mape|nll|ppl|perplexity|wer|cer|fid|elbo|.*regret|objective"
_HELD_OUT = r"(?:val|valid|validation|eval|dev|test)(?:[_\-/. ].*)?|.*[_\-/. ](?:val|valid|validation|eval|dev|test)"
_NO_METRIC = (
    r"(?:.*[_\-/. ])?(?:time|seconds?|secs?|elapsed|duration|eta|mem|memory|lr|learning_rate|total|samples|size|batch"
    r"|n|i|rank|seed|version|port|loaded|params|parameters)"
)


def ranked(reported_names: Collection[str]) -> list[str]:
    """Sort by likelihood: quality on held-out data, other quality, anything else."""
    return sorted(reported_names, key=lambda name: -_rank(name))


def _rank(name: str) -> int:
    name = name.removesuffix("%")
    if re.fullmatch(_NO_METRIC, name.lower()):
        return -1
    return 2 * bool(goal(name)) + bool(re.fullmatch(_HELD_OUT, name.lower()))


def likely(name: str) -> bool:
    """Return True if the name is typical of a metric to optimize."""
    return _rank(name) >= 2


def goal(name: str) -> str:
    """Return the goal that the name suggests; empty if none."""
    name = name.removesuffix("%").lower()
    words = [name, re.split(r"[/_\-. ]", name)[-1]]
    if any(re.fullmatch(_MINIMIZED, word) for word in words):
        return "minimize"
    return "maximize" if any(re.fullmatch(_MAXIMIZED, word) for word in words) else ""

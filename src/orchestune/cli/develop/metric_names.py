"""Which of the numbers that a program reports is the one to optimize, and which way, as their names tell."""

from __future__ import annotations

import re
from collections.abc import Collection

_UP = (
    r"acc\w*|.*accuracy|auc|auroc|f1\w*|.*score|precision|recall|r2|iou|miou|m?ap\d*|bleu|rouge\w*|reward|return|top\d"
    r"|dice|ndcg"
)
_DOWN = r".*loss|.*error|err|.*rmse|mse|mae|mape|nll|ppl|perplexity|wer|cer|fid|elbo|.*regret|objective"
_HELD_OUT = r"(?:val|valid|validation|eval|dev|test)(?:[_\-/. ].*)?|.*[_\-/. ](?:val|valid|validation|eval|dev|test)"
_NO_METRIC = (
    r"(?:.*[_\-/. ])?(?:time|seconds?|secs?|elapsed|duration|eta|mem|memory|lr|learning_rate|total|samples|size|batch"
    r"|n|i|rank|seed|version|port|loaded|params|parameters)"
)


def ranked(seen: Collection[str]) -> list[str]:
    """The likeliest first: quality on data that was held out, then other quality, then what may be anything."""
    return sorted(seen, key=lambda name: -_rank(name))


def _rank(name: str) -> int:
    name = name.removesuffix("%")
    if re.fullmatch(_NO_METRIC, name.lower()):
        return -1
    return 2 * bool(goal(name)) + bool(re.fullmatch(_HELD_OUT, name.lower()))


def likely(name: str) -> bool:
    """Whether it is a metric that one optimizes, as far as its name tells."""
    return _rank(name) >= 2


def goal(name: str) -> str:
    """Which way is better, as its name tells; empty where it does not."""
    name = name.removesuffix("%").lower()
    words = [name, re.split(r"[/_\-. ]", name)[-1]]
    if any(re.fullmatch(_DOWN, word) for word in words):
        return "minimize"
    return "maximize" if any(re.fullmatch(_UP, word) for word in words) else ""

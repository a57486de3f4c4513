"""Proposals of options to vary, with ranges around their defaults."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from orchestune.config.document.nodes import yaml_text
from orchestune.config.scripts.option import Option
from orchestune.config.sections.short_spelling import spelled

Spelling = str | list[Any]


@dataclass(frozen=True)
class Proposal:
    """A proposed range, or None if only the user knows one; `vary` is True if the option is worth a search."""

    spelling: Spelling | None
    vary: bool


_RATES = r"lr\d*|.*lr|.*learning rate|.*step size|eta\d*"
_PENALTIES = r"wd|.*(?:weight decay|decay|l1|l2|reg|regularization|penalty|alpha|lambda|lambda l[12]|c|gamma|tol)"
_FRACTIONS = {
    r".*(?:dropout|drop out|drop ?path|drop|drop rate|dropout rate|droprate)": (0.0, 0.5),
    r".*(?:label smoothing|smoothing)": (0.0, 0.3),
    r".*(?:momentum|mom)": (0.5, 0.99),
    r".*beta ?1": (0.8, 0.99),
    r".*beta ?2": (0.9, 0.9999),
    r".*(?:l1 ratio|mixup|mixup alpha)": (0.0, 1.0),
    r".*(?:subsample|colsample ?by ?\w+|bagging fraction|feature fraction|max features)": (0.5, 1.0),
    r".*(?:warmup ratio|warmup|warmup frac\w*)": (0.0, 0.3),
    r".*(?:discount|gamma|gae lambda|ema\w*)": (0.9, 0.9999),
}
_SIZES = r".*(?:batch ?size|batch|bs|hidden\w*|n ?hid\w*|units|dims?|width|channels|filters|emb\w*|.* size)|features"
_DEFAULT_RANGES: dict[str, Spelling] = {  # for options without default
    _RATES: "1e-5..0.1 log", r"wd|.*weight decay": "1e-6..0.01 log", r".*dropout": "0.0..0.5",
    r".*momentum": "0.5..0.99", r".*(?:batch ?size|bs)": [16, 32, 64, 128, 256],
}  # fmt: skip
_EXCLUDED_WORDS = r"""
seed n?epochs? niter\w* num_iter\w* ngpus? num_gpus? pretrained dummy iter iters iterations? steps? max_steps
num_steps total_steps workers? num_workers n_jobs jobs threads? gpus? device devices cuda cpu port host rank
local_rank world_size verbose verbosity debug quiet silent version logs? log_\w+ \w+_log logging interval freq
frequency every print_\w+ save save_\w+ saving resume restart load checkpoint\w* ckpt\w* paths? dir directory folder
file filename output out outdir input data dataset root url name tag project entity wandb mlflow tensorboard tb eval
eval_.+ evaluate test test_.+ val_.+ predict export download dry_run fp16 bf16 amp half precision mps distributed
ddp parallel classes num_classes n_classes patience early_stop\w* limit max_samples num_samples n_samples subset
folds? cv profile plot show visuali[sz]e accel no_cuda no_gpu no_mps nocuda config cfg conf eps epsilon timeout
cache force overwrite yes context run_id id mode split backend compile pin_memory benchmark deterministic max_len\w*
seq_len\w* max_seq_\w+ vocab_size image_size img_size input_size input_dim output_dim in_channels out_channels
resolution (?:dont|do_not|skip)_\w+ noamp nocompile
"""
"""names of options that are not hyperparameters: paths, durations, output"""
_EXCLUDED = re.compile(rf"(?:.* )?(?:{'|'.join(_EXCLUDED_WORDS.split()).replace('_', ' ')})")


_GUESSES = {"float": "0.0..1.0", "int": "1..10"}


def propose(option: Option) -> Proposal:
    """Propose a range for an option, by its kind, name and default."""
    name = _words(option.name)
    vary = _is_hyperparameter(name)
    if option.choices:
        vary = vary and len(option.choices) > 1 and not option.required and option.kind != "other"
        return Proposal(_choices(option.choices), vary)
    if option.kind == "bool":
        return Proposal("bool", vary)
    if option.kind not in ("float", "int"):
        return Proposal(None, False)
    spelling = _number(option, name)
    return Proposal(spelling, vary and spelling is not None and not option.argument_template.startswith("{"))


def argument(name: str, spelling: Spelling) -> str:
    """Format a parameter as an argument of the command line: `lr=1e-4..0.1:log`, `opt=adam,sgd`."""
    if isinstance(spelling, list):
        return f"{name}={','.join(map(yaml_text, spelling))}"
    return f"{name}={'true,false' if spelling == 'bool' else spelling.replace(' step ', ':step=').replace(' ', ':')}"


def guess(option: Option) -> Proposal | None:
    """Guess a range for a numeric option without default; None for any other option."""
    has_range = option.default is not None or option.choices or option.required or option.argument_template
    spelling = None if has_range else _GUESSES.get(option.kind or "")
    return Proposal(spelling, True) if spelling and _is_hyperparameter(_words(option.name)) else None


def _is_hyperparameter(name: str) -> bool:
    is_fraction = any(re.fullmatch(pattern, name) for pattern in _FRACTIONS)  # `drop_out` is not an output path
    return is_fraction or not _EXCLUDED.fullmatch(name.removeprefix("no "))


def _words(name: str) -> str:
    """Split an option name into words: `optim.learning_rate` to `learning rate`, `batchSize` to `batch size`."""
    last = name.rpartition(".")[2]
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[_\-/\s]+", " ", last).strip().lower()


def _choices(choices: tuple[Any, ...]) -> Spelling:
    numbers = [item for item in choices if isinstance(item, int) and not isinstance(item, bool)]
    if len(numbers) == len(choices) > 3 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return spelled(numbers[0], numbers[-1], whole=True)
    return list(choices)


def _number(option: Option, name: str) -> Spelling | None:
    default = option.default if isinstance(option.default, (int, float)) else None
    if default is None or isinstance(default, bool) or not math.isfinite(default) or abs(default) > 1e12:
        spellings = [spelling for pattern, spelling in _DEFAULT_RANGES.items() if re.fullmatch(pattern, name)]
        if option.least is not None and option.most is not None:
            return _bounded(option.least, option.most, option)
        return next(iter(spellings), None) if option.default is None else None
    if option.kind == "int":
        return _whole(int(default), name, option)
    return _decimal(float(default), name, option)


def _decimal(default: float, name: str, option: Option) -> Spelling | None:
    if re.fullmatch(_RATES, name) or re.fullmatch(_PENALTIES, name):
        fraction = _fraction(default, name)
        if fraction is not None and not re.fullmatch(_RATES, name) and default >= 0.5:
            return _bounded(*fraction, option)
        if default == 0:
            return _off_or_magnitudes(option)
        if default < 0:
            return None
        upper = min(default * 100, max(1.0, default * 10)) if re.fullmatch(_RATES, name) else default * 100
        return _bounded(_round(default / 100), _round(upper), option, log=True)
    fraction = _fraction(default, name)
    if fraction is not None:
        return _bounded(*fraction, option)
    if default == 0:
        return _bounded(0.0, 1.0, option)
    if default < 0:
        return _bounded(_round(default * 2), 0.0, option)
    if default < 0.01 or default >= 100:
        return _bounded(_round(default / 10), _round(default * 10), option, log=True)
    if default <= 1:
        return _bounded(_round(default / 5), min(_round(default * 5), 1.0) if default < 1 else 5.0, option)
    return _bounded(_round(default / 4), _round(default * 4), option, log=True)


def _fraction(default: float, name: str) -> tuple[float, float] | None:
    """Return the range of a fraction, widened to the default."""
    for pattern, (low, high) in _FRACTIONS.items():
        if re.fullmatch(pattern, name) and 0 <= default <= 1:
            return min(low, default), max(high, default)
    return None


def _off_or_magnitudes(option: Option) -> Spelling | None:
    """Return values for an option whose default 0 turns it off: no logarithmic range contains it."""
    values = [value for value in (0.0, 1e-5, 1e-4, 1e-3, 0.01) if _within(value, option)]
    return list(values) if len(values) > 1 else None


def _whole(default: int, name: str, option: Option) -> Spelling | None:
    if default < 0:
        return None
    if re.fullmatch(_SIZES, name) and default >= 4:
        if default & (default - 1) == 0:
            sizes = [size for size in (default // 4, default // 2, default, default * 2, default * 4) if size >= 1]
            return [size for size in sizes if _within(size, option)] or None
        return _bounded(max(1, default // 4), default * 4, option, log=True)
    if default >= 50:
        return _bounded(default // 4, default * 4, option, log=True)
    if default == 0:
        return _bounded(0, 10, option)
    return _bounded(max(1, default // 2), max(default * 2, default + 2), option)


def _within(value: float, option: Option) -> bool:
    return (option.least is None or value >= option.least) and (option.most is None or value <= option.most)


def _bounded(low: float, high: float, option: Option, *, log: bool = False) -> Spelling | None:
    """Restrict a range to the bounds of the option."""
    low = low if option.least is None else max(low, option.least)
    high = high if option.most is None else min(high, option.most)
    if option.kind == "int":
        low, high = math.ceil(low), math.floor(high)
    if low >= high:
        return None
    return spelled(low, high, log=log and low > 0, whole=option.kind == "int")


def _round(value: float) -> float:
    """Round to two significant digits: 0.0003 stays 0.0003."""
    return float(f"{value:.2g}")

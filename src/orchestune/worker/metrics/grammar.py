"""Regular expressions for metrics in output that was written for people; `scanner` decides which matches count."""

from __future__ import annotations

import re
from collections.abc import Iterable

_THOUSANDS = rb"[1-9]\d{0,2}(?:,\d{3})+(?!\d)"
_NUMBER = rb"[-+]?(?:" + _THOUSANDS + rb"(?:\.\d*)?|\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_VALUE = rb"(?:" + _NUMBER + rb"|[-+]?(?:nan|inf(?:inity)?))"
APART_BY_COMMAS = re.compile(rb"[-+]?" + _THOUSANDS + rb"(?:\.\d*)?(?:[eE][-+]?\d+)?")
AMBIGUOUS = re.compile(rb"[-+]?[1-9]\d{0,2},\d{3}\.?(?:[eE][-+]?\d+)?")
"""an ambiguous number, one comma before three digits: thousands separator or decimal comma, depending on the locale"""
_WRAPPED = rb"(?:(?:tensor|Array|array|(?:np|numpy)\.u?(?:float|int)\d+)\()?"
"""wrappers that libraries print around a number: `tensor(0.5)`, `np.float64(0.5)`"""
_APART = rb"(?:'|\xc2\xa0|\xe2\x80[\x89\x99\xaf])"
"""other thousands separators: a straight or curly apostrophe, and non-breaking spaces"""
_POWER = rb"[ ]?(?:\xc3\x97|\xc2\xb7|[*x])[ ]?10(?:\^|\*\*|\xe2\x81|\xc2[\xb2\xb3\xb9])"
"""a power of ten after a number, as in `1.5*10^-3`"""
_END = rb"(?!\.?[\w%/:\\@#]|,\d|\.\.\d|" + _APART + rb"\d|" + _POWER + rb"|-|\+(?!/?-)|\xc2\xb0)"
_PERCENT = rb"%(?![\w%|]|[ \t]+\|(?:[#=>-]|\xe2\x96))"
"""a percent sign after a number, unless a bar follows: then it is the progress of a progress bar"""
_PLUS_MINUS = rb"\s*\(?(?:\+/-|\+-|\xc2\xb1)\s*"
_SPREAD = rb"(?:" + _PLUS_MINUS + rb"(" + _NUMBER + rb")" + _END + rb")?"
_SPREAD_OF_PERCENTS = rb"(?:" + _PLUS_MINUS + rb"(" + _NUMBER + rb")(?:" + _PERCENT + rb"|" + _END + rb"))?"
_BEFORE = rb"(?<![\w./\\?&@$%#+~-])"
_ANY_NAME = rb"[A-Za-z_][\w.\-/]*"
STEP = re.compile(
    rb"(?<![\w./-])(global_step|step|epoch|iteration|iter)\b[\"']?[\s=:\[#]{1,3}"
    rb"((?:" + _THOUSANDS + rb"|\d+)(?:\.\d+)?(?:e\+?\d\d?)?)(?![\w.%]|[:,]\d)",
    re.IGNORECASE,
)
COLOUR = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]+[0-~]|[0-Z\\^-~])")
"""terminal control sequences: colours, titles, character sets (ECMA-48)"""
_PART = rb"(?:(?:train(?:ing)?|val(?:id(?:ation)?)?|test(?:ing)?|eval(?:uation)?|dev)[ ])?"
"""a word before a metric's name that is part of it"""
TRAINING = re.compile(rb"\btrain(?:ing)?[ \t]+[\"']?\Z", re.IGNORECASE)
"""prefix of a metric that was measured on the training data"""
_SPLIT = (
    rb"(?:train(?:ing)?|val(?:id(?:ation)?)?|test(?:ing)?|eval(?:uation)?|dev|held[ -]?out|hold[ -]?out)"
    rb"(?:[ -](?:set|data|split|samples?|folds?))?"
)
_REPEATS = rb"\d+[ ](?:[a-z]+[ -])?(?:folds?|splits?|runs?|seeds?|episodes?|samples?|examples?|repeats?|batches)"
_QUALIFIER = (
    rb"[ ](?:[(\[]" + _SPLIT + rb"[)\]]|(?:on|over|for|across|in)[ ](?:the[ ]|all[ ])?"
    rb"(?:" + _SPLIT + rb"|" + _REPEATS + rb"))"
)  # fmt: skip
"""on which data a metric was measured, between its name and its value: `RMSE on test: 0.19`"""
_VERB = (
    rb"[ ](?:is|was)[ ](?=\S+(?:[ ]\(?(?:\+/-|\+-|\xc2\xb1)[ ]?\S+)?"
    rb"(?:[ \t]*(?:[\r\n]|\Z)|(?<=[,;])[ ]|[ ](?:on|over|for|across|in|at|after)[ ]))"
)
"""a verb before a value that ends the sentence or a part of it: `loss is 3 times higher` has none"""
MAY_BE_SENTENCE = re.compile(rb"[ ](?:is|was|on|over|for|across|in)[ ]|[ ][(\[]", re.IGNORECASE)
"""occurs in every line in which `sentence` matches: a cheap prefilter"""
CANDIDATE = re.compile(
    _BEFORE + rb"[\"']?(" + _PART + _ANY_NAME + rb")[\"']?"
    rb"(?:(?:" + _QUALIFIER + rb")?[ \t]*[=:][ \t]*" + _WRAPPED + _VALUE + rb"(?:(" + _PERCENT + rb")|" + _END + rb")"
    rb"|" + _QUALIFIER + _VERB + _WRAPPED + _VALUE + _END + rb")",
    re.IGNORECASE,
)  # fmt: skip
"""a name that could be declared as a metric, in the first group, and the percent sign of its value, in the second"""


def any_of(names: Iterable[bytes]) -> bytes:
    """Return an expression for one of these names, the longest first; it never matches without names."""
    return b"|".join(_pattern_of(name) for name in sorted(names, key=len, reverse=True)) or rb"(?!)"


def _pattern_of(name: bytes) -> bytes:
    """Return an expression for a name that also matches spaces for underscores: `Val Loss` for `val_loss`."""
    return re.sub(rb"(?<=[^_])_(?=[^_])", b"[_ ]", re.escape(name))


def pair(known: bytes) -> re.Pattern[bytes]:
    """Return the expression for a name and its value. Groups: declared name, other name, value, spread."""
    return re.compile(
        _BEFORE + rb"(?:[\"']?(" + known + rb")[\"']?\s*[=:]|(" + _ANY_NAME + rb")\s*=)\s*"
        + _WRAPPED + rb"(" + _VALUE + rb")" + _END + _SPREAD,
        re.IGNORECASE,
    )  # fmt: skip


def sentence(known: bytes) -> re.Pattern[bytes]:
    """Return the expression for a declared name and its value with words between them.

    `RMSE on test: 0.19`, `accuracy over 5 folds is 0.968`, `loss was 0.2 after 3 epochs`. Groups: name, the words,
    value, spread.
    """
    return re.compile(
        _BEFORE + rb"(" + known + rb")(" + _QUALIFIER + rb"[ ]?[=:]\s*|(?:" + _QUALIFIER + rb")?" + _VERB + rb")"
        + _WRAPPED + rb"(" + _VALUE + rb")" + _END + _SPREAD,
        re.IGNORECASE,
    )  # fmt: skip


def percent(known: bytes) -> re.Pattern[bytes]:
    """Return the expression for a declared name and its value in percent. Groups: name, the words, value, spread."""
    return re.compile(
        _BEFORE + rb"[\"']?(" + known + rb")[\"']?(" + _QUALIFIER + rb")?\s*[=:]\s*"
        + _WRAPPED + rb"(" + _VALUE + rb")" + _PERCENT + _SPREAD_OF_PERCENTS,
        re.IGNORECASE,
    )  # fmt: skip

"""Regular expressions that people write."""

from __future__ import annotations

import re
import warnings
from typing import AnyStr


def compiled(pattern: AnyStr) -> re.Pattern[AnyStr]:
    """ValueError says why it is none. What Python may read otherwise some day, as `[[`, is no mistake."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as exc:
        raise ValueError(str(exc)) from exc

"""Regular expressions from users."""

from __future__ import annotations

import re
import warnings
from typing import AnyStr


def compiled(pattern: AnyStr) -> re.Pattern[AnyStr]:
    """Compile a pattern. Raises ValueError with the reason if it is invalid.

    A FutureWarning, as for `[[`, is not an error.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as exc:
        raise ValueError(str(exc)) from exc

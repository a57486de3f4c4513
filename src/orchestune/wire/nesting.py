"""Bounds the nesting of JSON documents before they are parsed.

`json` recurses for each level, so the depth that it can parse depends on the caller's stack: a document that was
parsed and stored by one function could not be parsed by another. This bound is far below what any stack allows.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate

MAX_LEVELS = 100  # lists and objects inside one another; experiment files have at most about ten
_QUOTED = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_OTHERS = bytes(set(range(256)) - set(_STEPS))
_AT_ONCE = 2**16  # brackets, about 5 ms: other threads run in between


def without_strings(text: bytes) -> bytes:
    """Return a JSON document in UTF-8 without its strings: brackets and commas that remain are structure."""
    return _QUOTED.sub(b"", text)


def refuse_deep(text: bytes) -> None:
    """Raise JSONDecodeError if lists and objects are nested more than `MAX_LEVELS` deep; `text` may be malformed."""
    if (encoding := json.detect_encoding(text)) not in ("utf-8", "utf-8-sig"):
        text = text.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
    if text.count(b"[") + text.count(b"{") <= MAX_LEVELS:
        return
    brackets, depth = without_strings(text).translate(None, _OTHERS), 0
    for start in range(0, len(brackets), _AT_ONCE):
        depths = list(accumulate(map(_STEPS.__getitem__, brackets[start : start + _AT_ONCE]), initial=depth))
        if max(depths) > MAX_LEVELS:
            raise json.JSONDecodeError(f"nested more than {MAX_LEVELS} levels deep", "", 0)
        depth = depths[-1]

"""An experiment file in the making: what a script or the file of another tool says, not yet checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestune.config.document.nodes import Entries
from orchestune.domain.search.parameters import Value


@dataclass(frozen=True)
class Draft:
    """A document that may lack required keys, and what is to be said of it."""

    document: Entries
    notes: tuple[str, ...] = ()
    """what has no counterpart or no effect here, and what was assumed"""
    remarks: Mapping[str, str] = field(default_factory=dict)
    """comments behind entries, by path: `parameters.lr`"""
    defaults: Mapping[str, Value] = field(default_factory=dict)
    """what parameters are where nobody sets them, as far as that is known"""
    asides: tuple[tuple[str, str], ...] = ()
    """parameters that are left as they are: each as a line of the file, to be taken in by hand, and a comment"""
    files: Mapping[str, str] = field(default_factory=dict)
    """further files beside it, by their relative paths"""

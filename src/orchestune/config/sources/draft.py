"""A draft of an experiment file, from a script or a file of another tool, not yet validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestune.config.document.nodes import Entries
from orchestune.domain.search.parameters import Value


@dataclass(frozen=True)
class Draft:
    """A document that may lack required keys, with notes and remarks."""

    document: Entries
    notes: tuple[str, ...] = ()
    """notes about keys without counterpart or effect, and about assumptions"""
    remarks: Mapping[str, str] = field(default_factory=dict)
    """comments behind entries, by path: `parameters.lr`"""
    defaults: Mapping[str, Value] = field(default_factory=dict)
    """default values of parameters, as far as they are known"""
    asides: tuple[tuple[str, str], ...] = ()
    """parameters that are not varied: each as a line of the file to be enabled by hand, and a comment"""
    files: Mapping[str, str] = field(default_factory=dict)
    """further files to create, by relative path"""

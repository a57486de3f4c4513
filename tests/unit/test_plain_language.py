from __future__ import annotations

from tests.plain_language import Finding, findings

SOURCE = '''
"""Text of a module.

Whoever reads it is told so.
"""

text = "nobody"  # somebody's text


def call(told: int, answer: int) -> None:
    """Start it anew."""
    made = said_so = answer
'''


def test_private_words_are_found_in_docstrings_comments_and_names_but_not_in_texts() -> None:
    words = [(finding.line, finding.word) for finding in findings(SOURCE)]
    assert words == [(4, "Whoever"), (7, "somebody"), (10, "told"), (11, "anew"), (12, "made")]


def test_fields_of_classes_keep_their_names_since_they_are_stored_or_sent() -> None:
    assert findings("class Columns:\n    shown: int\n") == []


def test_each_finding_names_the_replacement() -> None:
    assert findings("# the undertaker\n") == [Finding(1, "undertaker", "cluster teardown")]

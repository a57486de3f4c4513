from __future__ import annotations

from tests.plain_language import Finding, findings, other_findings

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


def test_tests_and_benchmarks_have_more_names_that_may_not_come_back() -> None:
    source = "def check() -> int:\n    found = 3\n    return found\n"
    assert findings(source) == []
    assert [finding.word for finding in other_findings(source)] == ["found"]


def test_functions_of_tests_may_not_have_such_names_and_methods_may() -> None:
    source = "def said() -> None: ...\nclass Server:\n    def told(self) -> None: ...\n"
    assert [finding.word for finding in other_findings(source)] == ["said"]

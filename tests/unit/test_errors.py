"""The tree of errors: what a server raises is what the command line exits with."""

from __future__ import annotations

import pickle
import traceback

import pytest

from orchestune import errors
from orchestune.errors import OrchestuneError, TemporaryError, from_json


def tree(kind: type[OrchestuneError] = OrchestuneError) -> list[type[OrchestuneError]]:
    """Every error of the module, that of others left out."""
    below = [subclass for child in kind.__subclasses__() for subclass in tree(child)]
    return [error_class for error_class in [kind, *below] if error_class.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
def test_an_error_that_travels_as_json_arrives_as_what_it_was(kind: type[OrchestuneError]) -> None:
    sent = kind.one("is wrong", "budget") if issubclass(kind, errors.BadInput) else kind("is wrong", "mend it")
    received = from_json(sent.to_json())
    assert (type(received), received.message, received.hint) == (kind, sent.message, sent.hint)


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
def test_an_error_of_another_process_is_what_it_was(kind: type[OrchestuneError]) -> None:
    problems = [errors.Problem("is wrong", "budget"), errors.Problem("is missing", "run")]
    sent = kind(problems, "mend it") if issubclass(kind, errors.BadInput) else kind("is wrong", "mend it")
    received = pickle.loads(pickle.dumps(sent))
    assert (type(received), str(received), received.message, received.hint) == (
        kind,
        str(sent),
        sent.message,
        sent.hint,
    )
    assert received.__notes__ == sent.__notes__
    assert vars(received) == vars(sent)


def test_a_traceback_tells_what_to_do() -> None:
    assert traceback.format_exception_only(errors.Conflict("is taken", "wait"))[-1] == "hint: wait\n"
    assert traceback.format_exception_only(errors.Conflict("is taken"))[-1] == "orchestune.errors.Conflict: is taken\n"


def test_only_what_may_work_later_exits_with_3_and_only_the_unknown_and_failed_work_with_1() -> None:
    for kind in tree():
        later = issubclass(kind, TemporaryError)
        failed = kind in (OrchestuneError, errors.NothingCompleted)
        assert kind.exit_code == (3 if later else 1 if failed else 2), kind


def test_each_mistake_arrives_by_itself() -> None:
    sent = errors.BadInput(
        [errors.Problem("is wrong", "a", "x.yml", 3, 4, "mend it"), errors.Problem("is missing", "b")]
    )
    received = from_json(sent.to_json())
    assert isinstance(received, errors.BadInput) and received.problems == sent.problems
    from_a_newer_one = {
        "code": "bad_input",
        "message": "a: is wrong",
        "problems": [{"message": "is wrong", "new": 1}, 2],
    }
    received = from_json({"error": from_a_newer_one})
    assert isinstance(received, errors.BadInput) and received.problems == [errors.Problem("is wrong")]
    received = from_json({"error": {"code": "bad_input", "message": "a: is wrong"}})
    assert isinstance(received, errors.BadInput) and received.problems == [errors.Problem("a: is wrong")]


def test_an_error_of_a_newer_server_is_still_told() -> None:
    received = from_json({"error": {"code": "from_the_future", "message": "is wrong", "hint": "mend it"}})
    assert (type(received), received.message, received.hint) == (OrchestuneError, "is wrong", "mend it")

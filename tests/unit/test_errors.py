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
    copy_of_error = from_json(sent.to_json())
    assert (type(copy_of_error), copy_of_error.message, copy_of_error.hint) == (kind, sent.message, sent.hint)


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
def test_an_error_of_another_process_is_what_it_was(kind: type[OrchestuneError]) -> None:
    problems = [errors.Problem("is wrong", "budget"), errors.Problem("is missing", "run")]
    sent = kind(problems, "mend it") if issubclass(kind, errors.BadInput) else kind("is wrong", "mend it")
    copy_of_error = pickle.loads(pickle.dumps(sent))
    assert (type(copy_of_error), str(copy_of_error), copy_of_error.message, copy_of_error.hint) == (
        kind,
        str(sent),
        sent.message,
        sent.hint,
    )
    assert copy_of_error.__notes__ == sent.__notes__
    assert vars(copy_of_error) == vars(sent)


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
    parsed_error = from_json(sent.to_json())
    assert isinstance(parsed_error, errors.BadInput) and parsed_error.problems == sent.problems
    from_a_newer_one = {
        "code": "bad_input",
        "message": "a: is wrong",
        "problems": [{"message": "is wrong", "new": 1}, 2],
    }
    parsed_error = from_json({"error": from_a_newer_one})
    assert isinstance(parsed_error, errors.BadInput) and parsed_error.problems == [errors.Problem("is wrong")]
    parsed_error = from_json({"error": {"code": "bad_input", "message": "a: is wrong"}})
    assert isinstance(parsed_error, errors.BadInput) and parsed_error.problems == [errors.Problem("a: is wrong")]


def test_an_error_of_a_newer_server_is_still_told() -> None:
    parsed_error = from_json({"error": {"code": "from_the_future", "message": "is wrong", "hint": "mend it"}})
    assert (type(parsed_error), parsed_error.message, parsed_error.hint) == (OrchestuneError, "is wrong", "mend it")

from __future__ import annotations

import pytest

from orchestune.errors import TemporaryError
from orchestune.system.isolation import failure_of


def _fail(error: BaseException) -> None:
    raise error


def test_the_exception_of_a_job_is_returned_with_its_traceback() -> None:
    error = failure_of(lambda: _fail(KeyError("x")))
    assert isinstance(error, KeyError)
    assert error.__traceback__ is not None
    assert failure_of(lambda: None) is None


def test_exceptions_that_pass_and_requests_to_exit_are_raised() -> None:
    with pytest.raises(TemporaryError):
        failure_of(lambda: _fail(TemporaryError("later")), passing=TemporaryError)
    with pytest.raises(KeyboardInterrupt):
        failure_of(lambda: _fail(KeyboardInterrupt()))

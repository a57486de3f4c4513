"""Jobs of a controller, some of which fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestune.controllers.isolated_jobs import each
from orchestune.errors import StoreUnavailable
from orchestune.ports.files import FileStoreUnreachable

REFUSED, AWAY = (
    StoreUnavailable("s3://bucket refused DeleteObject: AccessDenied"),
    FileStoreUnreachable("s3://bucket cannot be reached"),
)
MISTAKE = ZeroDivisionError()


@pytest.mark.parametrize(
    ("troubles", "done", "raised"),
    [
        ({}, 6, None),
        (dict.fromkeys(range(6), REFUSED), 6, REFUSED),
        ({0: AWAY}, 6, AWAY),
        ({1: REFUSED, 2: AWAY, 3: AWAY}, 4, AWAY),
        (dict.fromkeys(range(6), AWAY), 2, AWAY),
        ({1: REFUSED, 3: MISTAKE}, 6, MISTAKE),
    ],
)
def test_trouble_keeps_no_other_thing_from_it_and_a_place_that_is_away_the_rest(
    troubles: dict[int, Exception], done: int, raised: Exception | None
) -> None:
    tried: list[int] = []

    def job(number: int) -> Callable[[], None]:
        def act() -> None:
            tried.append(number)
            if number in troubles:
                raise troubles[number]

        return act

    jobs = [job(number) for number in range(6)]
    if raised is None:
        each(jobs)
    else:
        with pytest.raises(type(raised)) as caught:
            each(jobs)
        assert caught.value is raised
    assert tried == list(range(done))

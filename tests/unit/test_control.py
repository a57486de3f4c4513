"""The yardstick of the promises of seconds can fail them."""

from __future__ import annotations

from tests.testbeds.control import Control


def test_what_stays_outlives_its_control() -> None:
    with Control(0.1) as control:
        assert not control.outlives(lambda: True)


def test_what_goes_is_gone_before_its_control_has_ended() -> None:
    looks = iter([True, True, False])
    with Control(60.0) as control:
        assert control.outlives(lambda: next(looks))

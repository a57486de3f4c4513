"""Rate limits for unauthenticated callers: failed sign-ins, and rows of the audit log."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from orchestune.errors import OrchestuneError, Throttled
from orchestune.server.caller_address import throttle_key

MAX_FAILURES_PER_MINUTE = 10  # unknown tokens per minute from one address
MINUTE_SECONDS = 60.0
MAX_ADDRESSES = 4096


class TokenBuckets:
    """Token buckets by key, at most `max_keys` of them: the least recently used key is evicted first.

    Each bucket holds `count` tokens and is refilled at a rate of `count` per `seconds`. Used on the event loop only.
    """

    def __init__(
        self,
        count: int,
        seconds: float = MINUTE_SECONDS,
        max_keys: int = MAX_ADDRESSES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count, self._rate, self._max_keys, self._clock = count, count / seconds, max_keys, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take a token from the bucket of `key` and return 0; if it is empty, return the seconds until the next one."""
        now = self._clock()
        level, at = self._buckets.pop(key, (float(self._count), now))
        level = min(float(self._count), level + (now - at) * self._rate)
        wait = self._wait(level)
        self._buckets[key] = (level if wait else level - 1.0, now)
        if len(self._buckets) > self._max_keys:
            self._buckets.popitem(last=False)
        return wait

    def wait(self, key: str) -> float:
        """Return the seconds until `take` succeeds, without taking a token."""
        level, at = self._buckets.get(key, (float(self._count), 0.0))
        return self._wait(level + (self._clock() - at) * self._rate)

    def _wait(self, level: float) -> float:
        return 0.0 if level >= 1.0 else (1.0 - level) / self._rate


class FailedSignIns:
    """Counts unknown tokens and failed sign-ins by client address.

    Only failures are throttled: a valid token is accepted from a throttled address too, so that one attacker behind a
    shared address locks no one out.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._buckets = TokenBuckets(MAX_FAILURES_PER_MINUTE, clock=clock)

    def refusal(self, address: str, error: OrchestuneError) -> OrchestuneError:
        """Count a failure; return `error`, or `Throttled` beyond the limit, which hides if the token exists."""
        return self._throttled(self._buckets.take(throttle_key(address))) or error

    def throttled(self, address: str) -> Throttled | None:
        """Return the refusal for an address beyond the limit, without counting a failure; None for others."""
        return self._throttled(self._buckets.wait(throttle_key(address)))

    @staticmethod
    def _throttled(wait: float) -> Throttled | None:
        if not wait:
            return None
        text = (
            f"too many unknown tokens or failed sign-ins from this address (at most {MAX_FAILURES_PER_MINUTE} a minute)"
        )
        return Throttled(text, "check ORCHESTUNE_TOKEN or sign in again, and retry in a minute", math.ceil(wait))

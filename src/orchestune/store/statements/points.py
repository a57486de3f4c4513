"""Statements about reported values of metrics: inserted, and read as curves.

The points of an attempt are numbered (`sequence`) by its worker, those reported by HTTP by the server.
"""

from __future__ import annotations

from msgspec import Struct

from orchestune.domain.specification.metrics import Point
from orchestune.store.rows import Query

INSERT_POINT = """
INSERT INTO points (attempt, name, sequence, value, step, stddev, at) VALUES (:attempt, :name, :sequence, :value,
:step, :stddev, :at) ON CONFLICT DO NOTHING
"""


class ReportedName(Struct, frozen=True, gc=False):
    """A metric that an attempt reported, with the sequence numbers of its first and its last point."""

    name: str
    first: int
    last: int


class CurveEnds(Struct, frozen=True, gc=False):
    """The sequence numbers of the first and the last point of a metric; None without points."""

    first: int | None
    last: int | None


# lookups in the primary key per name, independent of the number of points
REPORTED_NAMES = Query(
    ReportedName,
    """
WITH RECURSIVE names (name) AS (
    SELECT MIN(name) FROM points WHERE attempt = :attempt
    UNION ALL
    SELECT (SELECT MIN(p.name) FROM points p WHERE p.attempt = :attempt AND p.name > n.name)
    FROM names n WHERE n.name IS NOT NULL
) SELECT n.name, (SELECT MIN(sequence) FROM points p WHERE p.attempt = :attempt AND p.name = n.name) AS first,
(SELECT MAX(sequence) FROM points p WHERE p.attempt = :attempt AND p.name = n.name) AS last
FROM names n WHERE n.name IS NOT NULL ORDER BY n.name
""",
)
REPORTED = Query(int, "SELECT 1 AS is_reported FROM points WHERE attempt = :attempt AND name = :name LIMIT 1")
# one lookup in the primary key per name, independent of the number of points
COUNT_NAMES = Query(
    int,
    """
WITH RECURSIVE names (name, place) AS (
    SELECT MIN(name), 1 FROM points WHERE attempt = :attempt
    UNION ALL
    SELECT (SELECT MIN(p.name) FROM points p WHERE p.attempt = :attempt AND p.name > n.name), n.place + 1
    FROM names n WHERE n.name IS NOT NULL AND n.place < :most
) SELECT COUNT(name) AS count FROM names
""",
)
_POINTS_WITHIN = """
SELECT name, value, step, stddev, sequence FROM points WHERE attempt = :attempt AND name = :name
AND (step IS NULL OR step <= :upto)"""
CURVE_ENDS = Query(
    CurveEnds,
    """
SELECT (SELECT MIN(sequence) FROM points WHERE attempt = :attempt AND name = :name) AS first,
(SELECT MAX(sequence) FROM points WHERE attempt = :attempt AND name = :name) AS last
""",
)
# one lookup in the primary key per point that is returned, independent of the number of points
SPACED_POINTS = Query(
    Point,
    """
WITH RECURSIVE places (sequence, place) AS (
    SELECT MIN(sequence), 1 FROM points WHERE attempt = :attempt AND name = :name
    UNION ALL
    SELECT (SELECT MIN(p.sequence) FROM points p WHERE p.attempt = :attempt AND p.name = :name
        AND p.sequence >= n.sequence + :stride), n.place + 1
    FROM places n WHERE n.sequence IS NOT NULL AND n.place < :most
) SELECT p.name, p.value, p.step, p.stddev, p.sequence FROM places n
JOIN points p ON p.attempt = :attempt AND p.name = :name AND p.sequence = n.sequence ORDER BY n.place
""",
)
LAST_POINTS = Query(Point, f"{_POINTS_WITHIN} ORDER BY sequence DESC LIMIT :count")
# the last points up to a step, looked for among the `newest` ones
LAST_OF_NEWEST = Query(
    Point,
    f"""{_POINTS_WITHIN}
AND sequence > COALESCE((SELECT sequence FROM points WHERE attempt = :attempt AND name = :name ORDER BY sequence DESC
LIMIT 1 OFFSET :newest), -1) ORDER BY sequence DESC LIMIT :count
""",
)
HIGHEST_POINT = Query(Point, f"{_POINTS_WITHIN} ORDER BY value DESC, sequence LIMIT 1")
LOWEST_POINT = Query(Point, f"{_POINTS_WITHIN} ORDER BY value, sequence LIMIT 1")


class PointRow(Struct, frozen=True, gc=False):
    """A reported value with the time of its arrival."""

    name: str
    value: float
    step: float | None
    stddev: float | None
    sequence: int
    at: float


# the last points of a metric among those with certain sequence numbers, the newest first
LAST_BETWEEN = Query(
    PointRow,
    """
SELECT name, value, step, stddev, sequence, at FROM points WHERE attempt = :attempt AND name = :name
AND sequence >= :first AND sequence <= :last ORDER BY sequence DESC LIMIT :count
""",
)
ANY_BETWEEN = Query(
    int,
    """
SELECT 1 AS is_reported FROM points WHERE attempt = :attempt AND name = :name AND sequence > :after
AND sequence < :before LIMIT 1
""",
)
# the step of the last point, of any metric, from a sequence number on that had arrived by a time
LAST_STEP_BEYOND = Query(
    float,
    """
SELECT step FROM points WHERE attempt = :attempt AND sequence >= :sequence AND step IS NOT NULL AND at <= :until
ORDER BY sequence DESC LIMIT 1
""",
)

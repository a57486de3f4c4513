"""Check the record of an experiment before anything of it is imported.

A record is input from outside: every row is checked as a request would be. Rows that point to other rows are checked
again where they are inserted (see `import_record`), since only the store can tell which ids belong to whom.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import BinaryIO

from orchestune.archives import record
from orchestune.config.kinds import MOST_AT_ONCE, MOST_TRIALS, PRIORITIES
from orchestune.domain.experiment import Specification
from orchestune.domain.states import TrialState
from orchestune.errors import BadInput
from orchestune.services.check_cells import Check, cell_check, is_value, parsed
from orchestune.services.create_experiment import parse
from orchestune.store import archive, migrate

Row = Mapping[str, object]

_MAX_SPECIFICATIONS = 32 * 2**20  # characters of all revisions together: what they are parsed to is kept meanwhile
_ORDER = {table: place for place, table in enumerate(archive.TABLES)}
_BOUNDS: Mapping[str, tuple[int, int]] = {
    "budget": (1, MOST_TRIALS),
    "parallelism": (1, MOST_AT_ONCE),
    "priority": PRIORITIES,
}


@dataclass(frozen=True)
class Checked:
    """A record whose rows are sound."""

    head: record.Head
    trials: Mapping[str, int]
    """how many there are in each state"""


def check(head: record.Head, source: BinaryIO) -> Checked:
    """Check every row of a verified stream, which is read from its beginning. BadInput names the first bad row."""
    checking = _Checking(head)
    source.seek(0)
    for table, row in record.rows(source):
        try:
            checking.take(table, row)
        except BadInput as error:
            raise _located(error, head, table, checking.counts[table]) from error
    if checking.own is None:
        raise BadInput.one("contains no experiment", key=head.handle)
    return Checked(head, checking.trials)


def _located(error: BadInput, head: record.Head, table: str, number: int) -> BadInput:
    """Return the same error with the place of the row in front of each problem."""
    place = f"{head.handle}: {table} row {number}"
    return BadInput([replace(one, key=f"{place}: {one.key}" if one.key else place) for one in error.problems])


@dataclass
class _Checking:
    """The state of one check: what later rows are compared with."""

    head: record.Head
    own: Row | None = None
    """the row of the experiment, which comes first"""
    counts: Counter[str] = field(default_factory=Counter)
    trials: Counter[str] = field(default_factory=Counter)
    specifications: dict[int, Specification] = field(default_factory=dict)
    """by revision"""
    _columns: frozenset[str] = frozenset()
    _table: str = ""
    _texts: dict[str, Specification] = field(default_factory=dict)

    def take(self, table: str, row: Row) -> None:
        """Check the next row."""
        self.counts[table] += 1
        if table not in _ORDER or _ORDER[table] < _ORDER.get(self._table, 0):
            raise BadInput.one(f"table '{table:.40}' is unknown, or in the wrong place")
        if table != self._table:
            self._table, self._columns = table, self._expected_columns(table, row)
        if row.keys() != self._columns:
            raise BadInput.one("its columns differ from those of the row before")
        for name, cell_problem in _checks(table).items():
            if name in row and (problem := cell_problem(row[name])):
                raise BadInput.one(problem, key=name)
        if self.own is None and table != "experiments":
            raise BadInput.one("comes before the row of its experiment")
        if row.get("id" if table == "experiments" else "experiment", self.head.experiment) != self.head.experiment:
            raise BadInput.one("belongs to another experiment", key="experiment")
        if table in _OF_TABLE:
            _OF_TABLE[table](self, row)

    def _expected_columns(self, table: str, row: Row) -> frozenset[str]:
        """Return the columns of `row`. A record of an older schema may lack those that have a default."""
        columns = [column for column in archive.TABLES[table].c if column.name not in archive.OF_THIS_SERVER]
        if unknown := sorted(row.keys() - {column.name for column in columns}):
            raise BadInput.one(f"has the unknown column {unknown[0]!r:.60}")
        is_current = self.head.schema == migrate.head()
        for column in columns:
            has_default = column.nullable or column.server_default is not None
            if column.name not in row and (is_current or not has_default):
                raise BadInput.one("is missing", key=column.name)
        return frozenset(row)

    def specification(self, row: Row) -> Specification:
        """Return the specification in a row, checked as one of a new experiment. Revisions often share theirs."""
        text = str(row["specification"])
        if text not in self._texts:
            if sum(map(len, self._texts)) + len(text) > _MAX_SPECIFICATIONS:
                raise BadInput.one("the specifications of all revisions are too long together", key="specification")
            self._texts[text] = _parse(text)
        return self._texts[text]

    def of_experiment(self, row: Row) -> None:
        """Check the row of the experiment itself."""
        if self.own is not None:
            raise BadInput.one("is a second experiment")
        if row["handle"] != self.head.handle or row["event_seq"] != self.head.events:
            raise BadInput.one("is not the one that the head describes")
        for name, (low, high) in _BOUNDS.items():
            if not low <= _int(row[name]) <= high:
                raise BadInput.one(f"is {row[name]} (expected {low:,} to {high:,})", key=name)
        specification = self.specification(row)
        if specification.name != row["name"]:
            raise BadInput.one("differs from that of the specification", key="name")
        self.own = row

    def of_revision(self, row: Row) -> None:
        self.specifications[_int(row["revision"])] = self.specification(row)

    def of_trial(self, row: Row) -> None:
        self._up_to(row, "number", "created", least=1)
        self._up_to(row, "history_seq", "history_seq")
        specification = self.specifications.get(_int(row["revision"]))
        if specification is None:
            raise BadInput.one(f"is {row['revision']}, which the record does not contain", key="revision")
        parameters = parsed(row["parameters"])
        assert isinstance(parameters, dict)  # the check of the cell
        if not all(map(is_value, parameters.values())):
            raise BadInput.one("must be text, truth or finite numbers", key="parameters")
        if problems := specification.space.configuration_problems(parameters):
            raise BadInput([replace(one, key=f"parameters.{one.key}") for one in problems[:10]])
        self.trials[str(row["state"])] += 1

    def of_task(self, row: Row) -> None:
        count = max(each.folds.count for each in self._texts.values())
        if _int(row["fold"]) >= count:
            raise BadInput.one(f"is {row['fold']} (expected less than {count})", key="fold")

    def of_event(self, row: Row) -> None:
        self._up_to(row, "seq", "event_seq", least=1)

    def of_segment(self, row: Row) -> None:
        self._up_to(row, "seq", "log_seq", least=1)

    def _up_to(self, row: Row, name: str, counter: str, least: int = 0) -> None:
        """Refuse a number beyond the experiment's counter: the next one that this server gives would be the same."""
        assert self.own is not None
        most = _int(self.own[counter])
        if row[name] is not None and not least <= _int(row[name]) <= most:
            raise BadInput.one(f"is {row[name]} (expected {least} to {most})", key=name)


_OF_TABLE: Mapping[str, Callable[[_Checking, Row], None]] = {
    "experiments": _Checking.of_experiment,
    "revisions": _Checking.of_revision,
    "trials": _Checking.of_trial,
    "tasks": _Checking.of_task,
    "events": _Checking.of_event,
    "log_segments": _Checking.of_segment,
}


@cache
def _checks(table: str) -> dict[str, Check]:
    return {column.name: cell_check(table, column) for column in archive.TABLES[table].c}


def _parse(text: str) -> Specification:
    document = parsed(text)
    assert isinstance(document, dict)  # the check of the cell
    try:
        return parse(document)
    except BadInput as error:
        problems = [
            replace(one, key=f"specification.{one.key}" if one.key else "specification") for one in error.problems
        ]
        raise BadInput(problems[:20]) from error
    except (LookupError, ArithmeticError, RecursionError, MemoryError) as error:
        raise BadInput.one(f"cannot be parsed: {type(error).__name__}", key="specification") from error


def _int(cell: object) -> int:
    assert isinstance(cell, int)  # the check of the cell
    return cell


def finished(trials: Mapping[str, int]) -> dict[str, int]:
    """Return the counters of an experiment over which no trial is open, from the number of trials in each state."""
    over = [state for state in TrialState if state.over]
    return {"queued": 0, "running": 0, "live": 0, "pending": 0} | {state.value: trials.get(state, 0) for state in over}

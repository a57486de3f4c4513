"""Validation of an experiment's record before any of it is imported.

A record is untrusted input. The format checks types and bounds of single fields when it decodes a line; this module
checks nested documents and the consistency of items with each other. References between items are checked again on
insertion (see `import_record`), since only the store knows which ids belong to which experiment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from orchestune.archives import format, record
from orchestune.archives.format import ExperimentItem, Head, Item, RevisionItem, TrialItem
from orchestune.config.document.kinds import MAX_AT_ONCE, MAX_TRIALS, PRIORITIES
from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.specification.experiment import ProgramKind, Specification
from orchestune.errors import BadInput
from orchestune.services.commands.check_documents import is_value, parsed, problem_of
from orchestune.services.commands.create_experiment import parse

_MAX_SPECIFICATIONS = 32 * 2**20  # bytes of all revisions together: their parsed forms stay in memory during the check
_ORDER: Mapping[type[object], int] = {item: place for place, item in enumerate(format.ITEMS)}


@dataclass(frozen=True)
class CheckedRecord:
    """A record whose items are valid."""

    head: Head
    program: ProgramKind
    trials: Mapping[TrialState, int]
    """number of trials in each state"""


def check(head: Head, source: BinaryIO) -> CheckedRecord:
    """Check every item of a verified stream from its beginning. Raises BadInput for the first invalid item."""
    checking = _Checking(head)
    source.seek(0)
    for item in record.items(source):
        try:
            checking.take(item)
        except BadInput as error:
            raise _located(error, head, item, checking.counts[type(item)]) from error
    if checking.own is None:
        raise BadInput.one("contains no experiment", key=head.handle)
    return CheckedRecord(head, checking.specification(checking.own).program, checking.trials)


def _located(error: BadInput, head: Head, item: Item, number: int) -> BadInput:
    """Return the error with the item's position prefixed to the key of each problem."""
    place = f"{head.handle}: {format.type_of(item)} {number}"
    return BadInput([replace(one, key=f"{place}: {one.key}" if one.key else place) for one in error.problems])


@dataclass
class _Checking:
    """State of one check, against which later items are compared."""

    head: Head
    own: ExperimentItem | None = None
    counts: Counter[type[Item]] = field(default_factory=Counter)
    trials: Counter[TrialState] = field(default_factory=Counter)
    specifications: dict[int, Specification] = field(default_factory=dict)
    """specifications by revision"""
    _type: type[Item] = ExperimentItem
    _parsed: dict[bytes, Specification] = field(default_factory=dict)

    def take(self, item: Item) -> None:
        """Check the next item and update the state."""
        self.counts[type(item)] += 1
        if _ORDER[type(item)] < _ORDER[self._type]:
            raise BadInput.one("is out of order")
        self._type = type(item)
        for name, problem in problem_of(item):
            raise BadInput.one(problem, key=name)
        if self.own is None and not isinstance(item, ExperimentItem):
            raise BadInput.one("comes before the experiment")
        match item:
            case ExperimentItem():
                self._experiment(item)
            case RevisionItem():
                self.specifications[item.revision] = self.specification(item)
            case TrialItem():
                self._trial(item)
            case format.FoldItem():
                count = max(each.folds.count for each in self._parsed.values())
                if item.fold >= count:
                    raise BadInput.one(f"is {item.fold} (expected less than {count})", key="fold")
            case format.EventItem():
                _within("number", item.number, 1, self._own.last_event)
            case format.LogItem():
                _within("number", item.number, 1, self._own.last_log)

    @property
    def _own(self) -> ExperimentItem:
        assert self.own is not None  # `take` refuses items before the experiment
        return self.own

    def specification(self, item: ExperimentItem | RevisionItem) -> Specification:
        """Parse the specification of an item like that of a new experiment. Cached, since revisions often share one."""
        text = bytes(item.specification)
        if text not in self._parsed:
            if sum(map(len, self._parsed)) + len(text) > _MAX_SPECIFICATIONS:
                raise BadInput.one("the specifications of all revisions are too long together", key="specification")
            self._parsed[text] = _parse(text)
        return self._parsed[text]

    def _experiment(self, item: ExperimentItem) -> None:
        if self.own is not None:
            raise BadInput.one("is a second experiment")
        if (item.id, item.handle, item.last_event) != (self.head.experiment, self.head.handle, self.head.events):
            raise BadInput.one("is not the one that the head describes")
        _within("budget", item.budget, 1, MAX_TRIALS)
        _within("parallelism", item.parallelism, 1, MAX_AT_ONCE)
        _within("priority", item.priority, *PRIORITIES)
        if self.specification(item).name != item.name:
            raise BadInput.one("differs from that of the specification", key="name")
        self.own = item

    def _trial(self, trial: TrialItem) -> None:
        _within("number", trial.number, 1, self._own.last_trial)
        if trial.result is not None:
            _within("result", trial.result, 0, self._own.results)
        specification = self.specifications.get(trial.revision)
        if specification is None:
            raise BadInput.one(f"is {trial.revision}, which the record does not contain", key="revision")
        parameters = parsed(bytes(trial.parameters))
        assert isinstance(parameters, dict)  # ensured by `problem_of`
        if not all(map(is_value, parameters.values())):
            raise BadInput.one("must be text, truth or finite numbers", key="parameters")
        if problems := specification.space.configuration_problems(parameters):
            raise BadInput([replace(one, key=f"parameters.{one.key}") for one in problems[:10]])
        self.trials[trial.state] += 1


def _within(name: str, number: int, low: int, high: int) -> None:
    """Refuse a number beyond a counter of the experiment: this server would assign the same number again."""
    if not low <= number <= high:
        raise BadInput.one(f"is {number} (expected {low:,} to {high:,})", key=name)


def _parse(text: bytes) -> Specification:
    document = parsed(text)
    assert isinstance(document, dict)  # ensured by `problem_of`
    try:
        return parse(document)
    except BadInput as error:
        problems = [
            replace(one, key=f"specification.{one.key}" if one.key else "specification") for one in error.problems
        ]
        raise BadInput(problems[:20]) from error
    except (LookupError, ArithmeticError, RecursionError, MemoryError) as error:
        raise BadInput.one(f"cannot be parsed: {type(error).__name__}", key="specification") from error


def finished(trials: Mapping[TrialState, int]) -> dict[str, int]:
    """Return the counters of a finished experiment from the number of trials in each state; no trial is open."""
    over = [state for state in TrialState if state.over]
    return {"queued": 0, "running": 0, "live_attempts": 0, "pending_folds": 0} | {
        state.value: trials.get(state, 0) for state in over
    }

"""An Optuna storage with a fixed content: the given trials, plus the one being asked for."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState


class Snapshot(BaseStorage):
    """A study that is reset for each ask, so that a suggestion depends on the given trials only.

    Optuna's own storages keep every trial forever and deep-copy each on insertion; an ask with running trials, or with
    part of the history, would need a new study each time.
    """

    def __init__(self, directions: Sequence[StudyDirection]) -> None:
        self._directions = list(directions)
        self._trials: list[FrozenTrial] = []

    def show(self, trials: list[FrozenTrial]) -> None:
        """Replace the trials by `trials`, which are not copied and must not change."""
        self._trials = trials

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        return 0

    def get_study_id_from_name(self, study_name: str) -> int:
        return 0

    def get_study_name_from_id(self, study_id: int) -> str:
        return "snapshot"

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return {}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return {}

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        assert not deepcopy, "the trials are shared"
        return self._trials if states is None else [trial for trial in self._trials if trial.state in states]

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        number = self._trials[-1].number + 1 if self._trials else 0
        self._trials = [*self._trials, frozen(number, TrialState.RUNNING, {}, {})]
        return number

    def get_trial(self, trial_id: int) -> FrozenTrial:
        assert trial_id == self._trials[-1].number, "only the newest trial is looked at"
        return self._trials[-1]

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        trial = self.get_trial(trial_id)
        trial.params[param_name] = distribution.to_external_repr(param_value_internal)
        trial.distributions[param_name] = distribution

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.get_trial(trial_id).system_attrs[key] = value

    def delete_study(self, study_id: int) -> None:
        raise NotImplementedError

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        raise NotImplementedError

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        raise NotImplementedError

    def get_all_studies(self) -> list[Any]:
        raise NotImplementedError

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        raise NotImplementedError

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        raise NotImplementedError

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        raise NotImplementedError


def frozen(
    number: int,
    state: TrialState,
    parameters: dict[str, float | int],
    distributions: dict[str, BaseDistribution],
    values: Sequence[float] | None = None,
    intermediate: dict[int, float] | None = None,
    excesses: Sequence[float] = (),
) -> FrozenTrial:
    """Return an Optuna trial without timestamps, which are not used."""
    noted = {"constraints": tuple(excesses)} if excesses else {}
    return FrozenTrial(
        number, state, None, None, None, parameters, distributions, {}, noted, intermediate or {}, number, values=values
    )

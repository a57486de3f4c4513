"""Studies of Optuna, made by Optuna itself."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import create_trial

from orchestune.config.document.nodes import plain
from orchestune.config.foreign import reading
from orchestune.config.sources.draft import Draft
from orchestune.errors import NotFound, UsageError

TRIALS = (
    ({"lr": 0.01, "layers": 2, "opt": "adam", "width": 8}, 0.5),
    ({"lr": 0.001, "layers": 5, "opt": "sgd", "width": 16, "momentum": 0.9}, 0.25),
    ({"lr": 0.1, "layers": 1, "opt": "adam", "width": None}, 0.75),
)
SPACE: dict[str, optuna.distributions.BaseDistribution] = {
    "lr": FloatDistribution(1e-5, 0.1, log=True),
    "layers": IntDistribution(1, 5),
    "momentum": FloatDistribution(0, 1, step=0.1),
    "opt": CategoricalDistribution(["adam", "sgd"]),
    "width": CategoricalDistribution([8, 16, None]),
}  # fmt: skip


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


def filled(storage: BaseStorage, name: str = "mnist") -> optuna.Study:
    study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
    for parameters, value in TRIALS:
        distributions = {parameter: SPACE[parameter] for parameter in parameters}
        study.add_trial(create_trial(params=dict(parameters), distributions=distributions, value=value))
    return study


@pytest.fixture(scope="module")
def study_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with the study mnist; making one takes its time."""
    path = tmp_path_factory.mktemp("optuna") / "study.db"
    storage = RDBStorage(f"sqlite:///{path}")
    filled(storage)
    storage.remove_session()
    storage.engine.dispose()
    return path


@pytest.fixture
def source(study_path: Path, tmp_path: Path) -> str:
    shutil.copy(study_path, tmp_path)
    return f"sqlite:///{tmp_path}/study.db"


def document(draft: Draft) -> dict[str, Any]:
    plain_document: dict[str, Any] = plain(draft.document)
    return plain_document


def results(draft: Draft) -> list[dict[str, Any]]:
    """The lines of the file that the search begins with."""
    return [json.loads(line) for line in draft.files[document(draft)["warm_start"]].splitlines()]


EXPECTED = {
    "name": "mnist",
    "run": "python train.py {args}",
    "parameters": {
        "lr": "1e-5..0.1 log", "layers": "1..5", "opt": ["adam", "sgd"], "width": [8, 16, "None"],
        "momentum": {"type": "float", "min": 0.0, "max": 1.0, "step": 0.1, "when": {"opt": "sgd"}},
    },
    "metrics": {"objective": "maximize"},
    "budget": 40,
    "warm_start": "mnist-results.jsonl",
}  # fmt: skip


def test_a_study_in_sqlite_becomes_its_space_and_its_results(source: str) -> None:
    draft = reading.read(source)
    assert document(draft) == EXPECTED
    assert [(one["metrics"], one["state"]) for one in results(draft)] == [
        ({"objective": value}, "completed") for _, value in TRIALS
    ]
    assert results(draft)[1]["parameters"] == TRIALS[1][0]
    assert results(draft)[2]["parameters"]["width"] == "None"
    assert [note for note in draft.notes if "only trials with opt sgd have it" in note]


def test_a_study_in_a_journal_is_the_same(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        filled(JournalStorage(JournalFileBackend(str(tmp_path / "study.log"))))
    assert document(reading.read(str(tmp_path / "study.log"))) == EXPECTED


def test_reading_changes_nothing(source: str, tmp_path: Path) -> None:
    before = hashlib.sha256((tmp_path / "study.db").read_bytes()).hexdigest()
    reading.read(source)
    assert hashlib.sha256((tmp_path / "study.db").read_bytes()).hexdigest() == before
    assert [path.name for path in tmp_path.iterdir()] == ["study.db"]


def test_what_is_read_is_what_optuna_says(tmp_path: Path) -> None:
    """The search of Optuna itself, and not trials made for the test."""
    storage = RDBStorage(f"sqlite:///{tmp_path}/own.db")
    study = optuna.create_study(study_name="own", storage=storage, directions=["minimize", "maximize"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.set_metric_names(["loss", "accuracy"])
    study.optimize(lambda trial: (trial.suggest_float("x", -1, 1), float(trial.suggest_int("n", 8, 64, step=8))), 4)
    trials = study.trials
    storage.remove_session()
    storage.engine.dispose()
    draft = reading.read(f"sqlite:///{tmp_path}/own.db")
    experiment = document(draft)
    assert experiment["parameters"] == {"x": "-1.0..1.0", "n": "8..64 step 8"}
    assert experiment["metrics"] == {"loss": "minimize", "accuracy": "maximize"}
    assert [one["parameters"] for one in results(draft)] == [trial.params for trial in trials]
    assert [list(one["metrics"].values()) for one in results(draft)] == [trial.values for trial in trials]


def test_pruned_and_failed_trials_are_results_without_values(source: str) -> None:
    storage = RDBStorage(source)
    study = optuna.load_study(study_name="mnist", storage=storage)
    for state in (optuna.trial.TrialState.PRUNED, optuna.trial.TrialState.FAIL):
        study.add_trial(create_trial(state=state, params={"lr": 0.01}, distributions={"lr": SPACE["lr"]}))
    storage.remove_session()
    storage.engine.dispose()
    rows = results(reading.read(source))
    assert [(one["metrics"], one["state"]) for one in rows[3:]] == [({}, "pruned"), ({}, "failed")]


def test_a_range_that_changed_holds_all_of_them(source: str) -> None:
    storage = RDBStorage(source)
    study = optuna.create_study(study_name="s", storage=storage)
    for high in (1.0, 4.0):
        study.add_trial(create_trial(params={"x": 0.5}, distributions={"x": FloatDistribution(0, high)}, value=1.0))
    storage.remove_session()
    storage.engine.dispose()
    draft = reading.read(source, "s")
    assert document(draft)["parameters"] == {"x": "0.0..4.0"}
    assert [note for note in draft.notes if "changed during the study" in note]


def test_the_caller_may_name_the_objectives(source: str) -> None:
    draft = reading.read(source, metrics=["accuracy"])
    assert document(draft)["metrics"] == {"accuracy": "maximize"}
    assert results(draft)[0]["metrics"] == {"accuracy": 0.5}


def test_as_many_objectives_are_named_as_there_are(source: str) -> None:
    with pytest.raises(UsageError, match="the study mnist optimized 1 value, but 2 are named") as error:
        reading.read(source, metrics=["accuracy", "loss"])
    assert error.value.hint == "name each objective once, in order: --maximize METRIC"


def test_of_several_studies_one_has_to_be_named(source: str) -> None:
    storage = RDBStorage(source)
    filled(storage, "cifar")
    storage.remove_session()
    storage.engine.dispose()
    with pytest.raises(UsageError, match="has 2 studies: cifar, mnist"):
        reading.read(source)
    assert document(reading.read(source, "cifar"))["name"] == "cifar"
    with pytest.raises(NotFound) as error:
        reading.read(source, "mnits")
    assert error.value.hint == "did you mean mnist?"


def test_a_storage_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        reading.read(f"sqlite:///{tmp_path}/none.db")
    assert list(tmp_path.iterdir()) == []


def test_another_database_is_refused_in_words(tmp_path: Path) -> None:
    import sqlite3

    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("CREATE TABLE own (x)")
    connection.close()
    with pytest.raises(UsageError, match="as an Optuna storage"):
        reading.read(str(tmp_path / "other.db"))


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(UsageError) as error:
        reading.read("postgresql+nothing://me:geheim@127.0.0.1:1/x")
    assert "geheim" not in str(error.value)
    assert "me:***@127.0.0.1:1/x" in str(error.value)


@pytest.mark.parametrize(
    ("address", "module", "package"),
    [
        ("mysql://me:geheim@h/x", "MySQLdb", "mysqlclient"),
        ("mysql+pymysql://me:geheim@h/x", "pymysql", "pymysql"),
        ("postgresql://me:geheim@h/x", "psycopg", "psycopg[binary]"),
    ],
)
def test_a_driver_that_is_missing_is_named(
    address: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(UsageError) as error:
        reading.read(address)
    assert error.value.hint == f"install the driver: pip install '{package}'"
    assert "geheim" not in str(error.value)


def test_what_is_no_database_is_told_what_would_be() -> None:
    with pytest.raises(UsageError, match="not a URL of an Optuna storage: redis://x"):
        reading.read("redis://x")


def test_one_and_true_are_two_choices(source: str) -> None:
    storage = RDBStorage(source)
    study = optuna.create_study(study_name="mixed", storage=storage)
    study.add_trial(
        create_trial(params={"x": True}, distributions={"x": CategoricalDistribution((1, True))}, value=1.0)
    )
    storage.remove_session()
    storage.engine.dispose()
    assert repr(document(reading.read(source, "mixed"))["parameters"]) == repr({"x": [1, True]})


def draft_of_study(source: str, objective: Callable[[optuna.Trial], float]) -> Draft:
    """Read a study that Optuna made of 14 trials of this function."""
    storage = RDBStorage(source)
    study = optuna.create_study(study_name="made", storage=storage, sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(objective, 14)
    storage.remove_session()
    storage.engine.dispose()
    return reading.read(source, "made")


def test_a_number_of_layers_decides_which_layers_there_are(source: str) -> None:
    def objective(trial: optuna.Trial) -> float:
        trial.suggest_int("width", 8, 128)
        layers = trial.suggest_int("layers", 1, 4)
        units = [trial.suggest_int(f"units_{layer}", 8, 64, step=8) for layer in range(layers)]
        last = trial.suggest_float("last", 0, 1) if layers < 3 else 0.0
        return sum(units) + last

    draft = draft_of_study(source, objective)
    parameters = document(draft)["parameters"]
    units = {"type": "int", "min": 8, "max": 64, "step": 8}
    assert parameters["units_0"] == "8..64 step 8"
    assert parameters["units_1"] == {**units, "when": {"layers": [2, 3, 4]}}
    assert parameters["units_3"] == {**units, "when": {"layers": 4}}
    assert parameters["last"]["when"] == {"layers": [1, 2]}
    assert "parameters.units_2: only trials with layers 3 or 4 have it; used as its condition" in draft.notes
    assert not [note for note in draft.notes if "with `when`" in note]


def test_true_and_false_beside_none_are_words_as_it_is(source: str) -> None:
    draft = draft_of_study(source, lambda trial: float(trial.suggest_categorical("bn", [True, False, None]) is None))
    assert document(draft)["parameters"] == {"bn": ["True", "False", "None"]}
    assert {one["parameters"]["bn"] for one in results(draft)} == {"True", "False", "None"}
    assert "parameters.bn: None, True and False are passed to the program as these words" in draft.notes


def test_names_that_none_can_have_here_are_written_otherwise(source: str) -> None:
    def objective(trial: optuna.Trial) -> float:
        kind = trial.suggest_categorical("which model", ["svm", "net"])
        return trial.suggest_float("learning rate", 0, 1) if kind == "net" else 0.5

    draft = draft_of_study(source, objective)
    assert document(draft)["parameters"] == {
        "which_model": ["svm", "net"],
        "learning_rate": {"type": "float", "min": 0.0, "max": 1.0, "when": {"which_model": "net"}},
    }
    assert {name for one in results(draft) for name in one["parameters"]} == {"which_model", "learning_rate"}
    assert [note for note in draft.notes if note.startswith("parameters.learning rate: renamed to learning_rate: ")]

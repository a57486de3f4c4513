"""The engines of many experiments, or of one with extreme options, do not fill the memory of the server."""

from __future__ import annotations

import resource
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import closing
from random import Random
from typing import Any, cast

import pytest

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Parameter, Value
from orchestune.domain.search.priors import Prior
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.constraints.deduplication import DistinctEngine
from orchestune.engines.process import child
from orchestune.engines.process.parent import ChildHost, ProcessEngine
from orchestune.engines.registry import create
from orchestune.engines.samplers import tpe
from orchestune.errors import BadInput
from orchestune.ports.engine import Engine, EnginesCrowded
from orchestune.system.control_groups import memory
from tests.contract.world import CoreWorld

LOSS = [Metric("loss", "minimize")]
EXPERIMENTS = 12
MOST_BYTES = 40 * 2**20


def floats(count: int) -> Space:
    return Space.of(tuple(Parameter(f"p{index}", "float", 0.0, 1.0) for index in range(count)))


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def held(engines: list[Engine], asks: int = 1) -> int:
    """Return the bytes that the engines hold after these asks."""
    before = tracemalloc.get_traced_memory()[0]
    for engine in engines:
        newest: list[Configuration] = []
        for number in range(1, asks + 1):
            newest = [engine.ask(newest, number, number)]
    return tracemalloc.get_traced_memory()[0] - before


def test_hypercubes_of_many_experiments_are_few_at_a_time(traced: None) -> None:
    space = floats(100)
    engines = [create("latin", space, LOSS, seed=seed, options={"size": 10_000}) for seed in range(EXPERIMENTS)]
    assert held(engines) < MOST_BYTES


def test_a_hypercube_that_fills_the_memory_is_refused() -> None:
    with pytest.raises(BadInput, match=r"engine\.size: 10,000 points of 101 parameters are 1,010,000 numbers"):
        create("latin", floats(101), LOSS, seed=1, options={"size": 10_000})


def test_a_sequence_that_fills_the_memory_is_refused() -> None:
    with pytest.raises(BadInput, match=r"'halton' takes at most 200 parameters \(found 201\) \(use sobol\)"):
        create("halton", floats(201), LOSS, seed=1)


def test_points_of_a_sequence_that_constraints_allow_are_not_kept(traced: None) -> None:
    space = Space.of(floats(200).parameters, ["p0 >= 0"])
    assert held([create("sobol", space, LOSS, seed=1)], asks=150) < 2**20


def test_the_rest_of_a_space_is_not_kept_if_draws_find_known_configurations(traced: None) -> None:
    seldom = Prior("weights", numbers=(1.0, 0.0))
    switches = tuple(
        Parameter(f"s{n}", "bool", choices=(False, True), prior=seldom, when=((f"s{n - 1}", (True,)),) if n else ())
        for n in range(3)
    )
    digits = (Parameter(f"d{n}", "categorical", choices=tuple(range(10)), when=(("s2", (True,)),)) for n in range(4))
    space = Space.of((*switches, *digits))
    tried = [{"s0": False}, {"s0": True, "s1": False}, {"s0": True, "s1": True, "s2": False}]
    engines = [create("random", space, LOSS, seed=seed) for seed in range(EXPERIMENTS)]
    before = tracemalloc.get_traced_memory()[0]
    for engine in engines:
        engine.tell([Observation(number, each, TrialState.FAILED) for number, each in enumerate(tried, 1)])
        assert engine.ask([], 4, 4)["s2"] is True
    assert tracemalloc.get_traced_memory()[0] - before < 2**20


class Hungry:
    """An engine that needs more memory than there is."""

    source = "hungry"

    def tell(self, observations: Sequence[Observation]) -> None:
        raise MemoryError


def ask_of(engine: int) -> dict[str, Any]:
    return {"closed": [], "engine": engine, "observations": [], "pending": [], "number": 1, "seed": 1}


def test_an_engine_that_fills_its_process_alone_fails() -> None:
    engines = cast(dict[int, Engine], {1: Hungry()})
    answer = child._answer(engines, [], ask_of(1))
    assert "its computations take more than" in answer["failed"] and "MiB of memory" in answer["failed"]
    assert engines == {}


def test_engines_that_fill_their_process_together_get_another_one() -> None:
    engines = cast(dict[int, Engine], {1: Hungry(), 2: Hungry()})
    assert child._answer(engines, [], ask_of(1)) == {"crowded": True}


def test_an_engine_that_finds_its_process_full_is_the_first_one_of_the_next(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = DistinctEngine.ask
    refused: list[str] = []

    def ask_once_more(
        engine: DistinctEngine, pending: Sequence[Configuration], number: int, seed: int
    ) -> dict[str, Value]:
        if engine.name == "tpe" and len(refused) % 2 == 0:
            refused.append(engine.name)
            raise EnginesCrowded("the process of the engines has no memory left")
        refused.extend(["asked"] * (engine.name == "tpe"))
        return ask(engine, pending, number, seed)

    monkeypatch.setattr(DistinctEngine, "ask", ask_once_more)
    experiment = world.create(budget=8, parallelism=1, engine="tpe")
    assert world.run(experiment)["state"] == "completed"
    assert refused == ["tpe", "asked"] * 8


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit the memory of a process")
def test_the_memory_of_the_engines_process_is_limited() -> None:
    host = ChildHost()
    with closing(host):
        engine = ProcessEngine("tpe", floats(2), LOSS, seed=1, options={}, host=host)
        engine.ask([], 1, 1)
        limit, _ = resource.prlimit(host.child().process.pid, resource.RLIMIT_DATA)
    assert limit == child.memory_limit() <= max(memory() / 3, 2**30)


def test_a_model_of_very_many_choices_has_fewer_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tpe, "_MAX_WEIGHTS", 12_000)
    space = Space.of(tuple(Parameter(f"p{n}", "categorical", choices=tuple(range(10))) for n in range(10)))
    proposer = tpe.TpeProposer(space, LOSS, history=5000)
    trials: list[int] = []
    monkeypatch.setattr(proposer._snapshot, "show", lambda snapshot: trials.append(len(snapshot)))
    monkeypatch.setattr(proposer, "_suggest", lambda _: {f"p{n}": 0 for n in range(10)})
    draws = Random(1)
    configurations = [{f"p{n}": draws.randrange(10) for n in range(10)} for _ in range(400)]
    proposer.tell(
        [
            Observation(number, each, TrialState.COMPLETED, {"loss": draws.random()})
            for number, each in enumerate(configurations, 1)
        ]
    )
    proposer.propose(configurations, 401, 1)
    assert len(trials) == 1 and trials[0] <= 120 + 120, "observations and pending trials"

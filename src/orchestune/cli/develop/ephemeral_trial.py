"""One trial with its output on the screen: an ephemeral experiment, run by a worker as the trials of `run` are.

On this machine too, where the embedded server is started or joined. One alternative was a runner of its own for this
machine: it repeats the worker's command line, environment, metrics and cores, and drifts from them. The other was the
worker's `RunningAttempt` in this process: it saves the server, but not what a server does around an attempt, such as
reports by HTTP, GPUs and the reduction of metrics. So one code path serves all clusters. Its price is the start of a
worker, and of the server if none is running.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from orchestune.cli.develop.ephemeral_experiment import kept_alive, single, wait
from orchestune.cli.develop.outcome import Outcome
from orchestune.cli.experiments import image, upload
from orchestune.cli.experiments.prepare import PreparedExperiment
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.render import one_line, sanitized_lines
from orchestune.cli.terminal.signals import exit_on_signals
from orchestune.domain.lifecycle.states import ReasonCode
from orchestune.domain.search.parameters import Value
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import OrchestuneError
from orchestune.sdk.submitting import at_hand

if TYPE_CHECKING:
    from orchestune import documents

_LOG_WAIT_SECONDS = 15.0
"""seconds to wait for the last lines after the end"""
_MAX_PRINTED_CHARS = 64 * 1024
"""last characters of the output that are searched for an unparsed value"""


def run_trial(
    console: Console,
    prepared: PreparedExperiment,
    parameters: Mapping[str, Value],
    secrets: Mapping[str, str],
    seed: int | None = None,
    on_output: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Run the command once with `parameters` on the selected cluster.

    Deletes the experiment at the end, also at Ctrl-C and SIGTERM.

    `on_output` gets the output as it arrives, in another thread.
    """
    specification = single(image.pinned(console, prepared), parameters)
    digest = upload.upload(console, prepared)
    first_trial = {"parameters": dict(parameters), "seed": specification.seed & 0xFFFFFFFF if seed is None else seed}
    with exit_on_signals():
        status = upload.create(console, prepared, specification, digest, dict(secrets), first_trial)
        output = _Output(console, status["id"], on_output)
        with kept_alive(console, status, specification.grace):
            output.start()
            final_status = wait(console, status, lambda _: output.error is not None, output.has_ended)
            if output.error is not None:
                raise output.error
            output.join(_LOG_WAIT_SECONDS if final_status["counts"]["running"] == 0 else 0)
            return _outcome(console, final_status, specification, output.printed)


class _Output(threading.Thread):
    """Copies the output of an experiment to the screen; with `--json` to standard error."""

    def __init__(self, console: Console, experiment: str, on_output: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        self._client = console.client.clone()
        self._experiment, self._on_output = experiment, on_output
        self._stream = console.err if console.json else console.out
        # One's own program may control the terminal, as if it had been started by hand; another machine may not.
        self._is_sanitized = self._stream.isatty() and not (at_hand(console.place) and console.place.embedded)
        self.printed = ""
        """end of the output"""
        self.error: OSError | None = None
        """the stream cannot be written: its reader has exited, or the disk is full"""
        self.has_ended = threading.Event()

    def run(self) -> None:
        """Follow the output until the experiment has ended."""
        try:
            for chunk in self._client.follow_logs(self._experiment, trial=1):
                self.printed = (self.printed + chunk["text"])[-_MAX_PRINTED_CHARS:]
                self._on_output(chunk["text"])
                self._stream.write(sanitized_lines(chunk["text"]) if self._is_sanitized else chunk["text"])
                self._stream.flush()
        except OrchestuneError:
            pass  # the status reports the same problem
        except OSError as exc:
            self.error = exc
        self._client.close()
        self.has_ended.set()


def _outcome(console: Console, status: documents.Status, specification: Specification, printed: str) -> Outcome:
    trial = next(iter(console.client.trials(status["id"])), None)
    attempt = trial["attempts"][-1] if trial and trial["attempts"] else None
    outcome = Outcome(
        _problem(status, trial),
        attempt["exit_code"] if attempt else None,
        (attempt["wall_seconds"] or 0.0) if attempt else 0.0,
        printed=printed,
    )
    outcome.warm = any(worker["came_from"] for worker in status["workers"] if worker["succeeded"] + worker["failed"])
    declared = {metric.name for metric in specification.metrics}
    for name, measured in trial["metrics"].items() if trial else ():
        if name in declared:
            outcome.metrics[name] = {"value": measured["value"], "stddev": measured["stddev"]}
        else:
            outcome.extra[name] = measured["value"]
    for name in declared - outcome.metrics.keys():
        if outcome.problem.startswith(
            (f"{name} is ", f"the value of {name} is ")
        ):  # not finite: the server stores none
            outcome.metrics[name] = {"value": math.nan, "stddev": None}
    if attempt and specification.resources.gpu and not attempt["gpus"] and at_hand(console.place):
        request = f"{specification.resources.gpu:g} gpu"
        console.note(f"it ran without an assigned GPU: this machine has none that fits the request ({request})")
    return outcome


def _problem(status: documents.Status, trial: documents.Trial | None) -> str:
    """Return why the trial failed; empty if it did not, or if it only lacks a metric, which the verdict names."""
    if trial is not None and trial["state"] == "completed":
        return ""
    reason = (trial["reason"] if trial else None) or status["reason"]
    if reason and reason["code"] == ReasonCode.METRIC_MISSING:
        return ""
    return one_line(reason["message"]) if reason else f"the experiment is {status['state']}"

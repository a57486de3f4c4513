"""A peer in its own environment: `python -m benchmarks.search.peers.child NAME`, started by `remote`.

Reads one JSON document per line from standard input, the first one with what it is made with, and answers each with
one. What libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from typing import Any

from benchmarks.search.peers.table import PEERS
from benchmarks.search.simulation import Searcher
from orchestune.domain.search.space import Space
from orchestune.engines.process.messages import observation_from_json


def main() -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    first: dict[str, Any] = json.loads(sys.stdin.readline())
    space = Space.from_json(first["space"], ())
    peer = PEERS[sys.argv[1]]
    searcher: Searcher = peer.make(space, first["seed"], first["budget"], first["workers"])
    answer: dict[str, Any] = {"version": version(peer.package)}
    while True:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        line = sys.stdin.readline()
        if not line:
            return
        request = json.loads(line)
        for document in request["told"]:
            searcher.tell(observation_from_json(document))
        if "number" in request:
            answer = searcher.ask(request["pending"], request["number"])
        else:
            answer = {"best": searcher.best()}


if __name__ == "__main__":
    main()

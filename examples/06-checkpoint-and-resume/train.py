"""Gradient descent in epochs that resumes where an interrupted attempt stopped. Standard library only."""

import argparse
import json
import os
import time
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--rate", type=float, required=True)
parser.add_argument("--epochs", type=int, default=40)
options = parser.parse_args()

checkpoint = Path(os.environ.get("ORCHESTUNE_CHECKPOINT_DIR", ".")) / "state.json"
state = {"epoch": 0, "weights": [5.0, -3.0]}
if checkpoint.exists():  # a loss, a preemption or `pause --now` ended the attempt before this one
    state = json.loads(checkpoint.read_text())
    print(f"resumed after epoch {state['epoch']}")

while state["epoch"] < options.epochs:
    time.sleep(0.1)  # stands for the work of an epoch
    x, y = state["weights"]
    state = {"epoch": state["epoch"] + 1, "weights": [x - options.rate * 2 * x, y - options.rate * 0.4 * y]}
    # write beside and rename: a checkpoint may be taken at any moment and must be whole
    draft = checkpoint.with_suffix(".draft")
    draft.write_text(json.dumps(state))
    draft.rename(checkpoint)
    loss = state["weights"][0] ** 2 + 0.2 * state["weights"][1] ** 2
    with open(os.environ.get("ORCHESTUNE_METRICS", os.devnull), "a") as file:
        print(json.dumps({"loss": loss, "step": state["epoch"]}), file=file)
    print(f"epoch {state['epoch']}: loss={loss:.6g}")

"""Stands for a training on two GPUs: it prints those that are visible, and resumes from its checkpoint."""

import argparse
import math
import os
import pathlib
import time

parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float, required=True)
parser.add_argument("--batch", type=int, required=True)
options = parser.parse_args()

cards = sorted(path.name for path in pathlib.Path("/dev").glob("nvidia[0-9]*"))
shared = os.statvfs("/dev/shm")
print(f"cards: {cards or 'none to be seen'}; /dev/shm: {shared.f_frsize * shared.f_blocks >> 20} MiB", flush=True)

epoch = pathlib.Path(os.environ["ORCHESTUNE_CHECKPOINT_DIR"]) / "epoch"
done = int(epoch.read_text()) if epoch.exists() else 0
for number in range(done + 1, 6):
    time.sleep(0.2)
    loss = (math.log10(options.rate) + 2.5) ** 2 + 8 / options.batch + 1 / number
    print(f"epoch {number}: loss={loss:.4f}", flush=True)
    epoch.write_text(str(number))

"""Gradient descent on noisy data: an ordinary script with argparse, which knows nothing of Orchestune."""

import argparse
import random

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--momentum", type=float, default=0.0)
parser.add_argument("--loss", choices=["squared", "absolute"], default="squared")
options = parser.parse_args()

chance = random.Random(1)
points = [(x, 3 * x + 2 + chance.gauss(0, 0.1)) for x in (chance.uniform(-1, 1) for _ in range(200))]
train, validation = points[:150], points[150:]
slope = offset = slope_speed = offset_speed = 0.0
for _ in range(30):
    errors = [(x, slope * x + offset - y) for x, y in train]
    if options.loss == "absolute":
        errors = [(x, (error > 0) - (error < 0)) for x, error in errors]
    slope_speed = options.momentum * slope_speed - options.lr * sum(x * e for x, e in errors) / len(errors)
    offset_speed = options.momentum * offset_speed - options.lr * sum(e for _, e in errors) / len(errors)
    slope, offset = slope + slope_speed, offset + offset_speed

print(f"val/loss={sum((slope * x + offset - y) ** 2 for x, y in validation) / len(validation):.6f}")

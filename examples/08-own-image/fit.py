"""Gradient descent with momentum on a narrow valley."""

import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float, required=True)
parser.add_argument("--momentum", type=float, required=True)
options = parser.parse_args()

x, y, dx, dy = 3.0, 2.0, 0.0, 0.0
for step in range(1, 101):
    dx = options.momentum * dx - options.rate * 2 * x
    dy = options.momentum * dy - options.rate * 20 * y
    x, y = min(max(x + dx, -1e6), 1e6), min(max(y + dy, -1e6), 1e6)
    if step % 25 == 0:
        print(f"step {step}: x={x:.4g} y={y:.4g}", flush=True)
print(f"loss={x * x + 10 * y * y:.6g}")

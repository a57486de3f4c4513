"""Fits a polynomial to noisy points of a sine and prints its error on points that it has not seen."""

import argparse
import math
import os
import random


def points(count, seed):
    chance = random.Random(seed)
    return [(x, math.sin(3 * x) + chance.gauss(0, 0.1)) for x in (chance.uniform(-1, 1) for _ in range(count))]


def solve(matrix, right):
    """Gauss's elimination, with pivots."""
    size = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(rows[row][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for row in range(column + 1, size):
            factor = rows[row][column] / rows[column][column]
            rows[row] = [a - factor * b for a, b in zip(rows[row], rows[column], strict=True)]
    solution = [0.0] * size
    for row in reversed(range(size)):
        known_sum = sum(rows[row][column] * solution[column] for column in range(row + 1, size))
        solution[row] = (rows[row][size] - known_sum) / rows[row][row]
    return solution


def fit(data, degree, penalty):
    powers = range(degree + 1)
    matrix = [[sum(x ** (i + j) for x, _ in data) + (penalty if i == j else 0) for j in powers] for i in powers]
    return solve(matrix, [sum(y * x**i for x, y in data) for i in powers])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--degree", type=int, required=True)
    parser.add_argument("--penalty", type=float, required=True)
    options = parser.parse_args()
    weights = fit(points(40, seed=1), options.degree, options.penalty)
    unseen = points(200, seed=2)
    error = sum((sum(w * x**i for i, w in enumerate(weights)) - y) ** 2 for x, y in unseen) / len(unseen)
    print(f"user {os.getuid()} on {os.uname().nodename}")
    print(f"error={error:.6f}")


main()

"""Fit a polynomial to a curve by gradient descent with momentum."""

import math

import hydra

import orchestune


@hydra.main(version_base=None, config_path="conf", config_name="config")
def train(config):
    points = [i / 20 for i in range(-20, 21)]
    weights, speed = [0.0] * config.model.terms, [0.0] * config.model.terms
    loss = math.inf
    for step in range(config.steps):
        errors = [sum(w * x**power for power, w in enumerate(weights)) - math.sin(3 * x) for x in points]
        loss = sum(error * error for error in errors) / len(points)
        for power in range(len(weights)):
            slope = sum(error * x**power for error, x in zip(errors, points, strict=True)) / len(points)
            speed[power] = config.optim.momentum * speed[power] - config.optim.lr * slope
            weights[power] += speed[power]
        orchestune.report(objective=loss, step=step)  # for early stopping; by hand it prints
        if orchestune.should_stop():
            break
    return loss


if __name__ == "__main__":
    train()

"""Training from a configuration file, as many projects have it; it writes a table of its losses and prints nothing."""

import csv
import math
import sys
import tomllib

with open(sys.argv[1], "rb") as file:
    config = tomllib.load(file)
rate, units = config["optimizer"]["lr"], config["model"]["units"]
with open("history.csv", "w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["epoch", "train_loss", "val_loss"])
    for epoch in range(1, config["epochs"] + 1):
        progress = math.exp(-epoch * rate * 20) + rate / 2 + (0.3 if config["optimizer"]["name"] == "sgd" else 0.2)
        table.writerow([epoch, progress, progress + abs(units - 48) / 200])

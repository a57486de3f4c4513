import argparse
import math
import time

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--units", type=int, default=16)
options = parser.parse_args()

batches = 9
speed = options.lr / (0.02 + options.lr**2)  # too small a rate is slow, too large a one diverges
for epoch in range(1, 9):
    print(f"Epoch {epoch}/8")
    loss = 0.1 + math.exp(-speed * epoch / 8) + abs(math.log(options.units / 32)) / 10
    for batch in range(1, batches + 1):
        done = "━" * (20 * batch // batches)
        print(f"\r\x1b[1m{batch}/{batches}\x1b[0m {done:<20} \x1b[1m0s\x1b[0m 2ms/step - loss: {loss:.4f}", end="")
        time.sleep(0.002)
    print(f"\r{batches}/{batches} {'━' * 20} 0s 4ms/step - loss: {loss:.4f} - val_loss: {loss * 1.1:.4f}")

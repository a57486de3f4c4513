import argparse
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--dropout", type=float, default=0.1)
options = parser.parse_args()

batches, loss = 10, 1.0
for epoch in range(12):
    for batch in range(1, batches + 1):
        loss -= (loss - 0.2 - options.dropout / 5) * min(options.lr, 1 / (1 + options.lr))
        share, bar = 100 * batch // batches, "█" * batch
        text = f"Epoch {epoch}: {share:3}%|{bar:<10}| {batch}/{batches} [00:00<00:00, 99.10it/s, v_num=0"
        sys.stderr.write(f"\r{text}, train_loss={loss:.3f}]")
        time.sleep(0.01)
    print(f"\r{text}, train_loss={loss:.3f}, val_loss={loss * 1.2:.4f}]", flush=True)

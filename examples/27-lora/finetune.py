"""LoRA on a GPT-2 of two layers, randomly initialised, so that nothing is downloaded.

Its weights stay as they are; only the low-rank matrices are trained, to continue sequences that count upwards.
"""

import argparse
import os

import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel

TARGETS = {"attention": ["c_attn"], "mlp": ["c_fc"], "all": ["c_attn", "c_fc", "c_proj"]}
SYMBOLS, LENGTH, STEPS = 32, 16, 60

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--r", type=int, default=4)
parser.add_argument("--alpha", type=int, default=8)
parser.add_argument("--dropout", type=float, default=0.0)
parser.add_argument("--targets", choices=TARGETS, default="all")
args = parser.parse_args()

torch.set_num_threads(1)
torch.manual_seed(7)  # the "pretrained" weights are the same in each trial
base = GPT2LMHeadModel(GPT2Config(vocab_size=SYMBOLS, n_positions=LENGTH, n_embd=32, n_layer=2, n_head=2))
lora = LoraConfig(
    r=args.r,
    lora_alpha=args.alpha,
    lora_dropout=args.dropout,
    target_modules=TARGETS[args.targets],
    fan_in_fan_out=True,
)
model = get_peft_model(base, lora)
optimizer = torch.optim.AdamW((weight for weight in model.parameters() if weight.requires_grad), lr=args.lr)
chance = torch.Generator().manual_seed(int(os.environ.get("ORCHESTUNE_SEED", "0")))


def batch(size: int) -> torch.Tensor:
    starts = torch.randint(SYMBOLS, (size, 1), generator=chance)
    return (starts + torch.arange(LENGTH)) % SYMBOLS


for step in range(1, STEPS + 1):
    model.train()
    sequences = batch(16)
    optimizer.zero_grad()
    model(input_ids=sequences, labels=sequences).loss.backward()
    optimizer.step()
    if step % 10 == 0:
        model.eval()
        with torch.no_grad():
            sequences = batch(64)
            loss = model(input_ids=sequences, labels=sequences).loss
        print(f"step {step}: loss={loss.item():.4f}", flush=True)

"""A small network trained by two processes, which average their gradients after each batch."""

import argparse
import os

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--width", type=int, default=32)
parser.add_argument("--batch", type=int, default=32)
args = parser.parse_args()

torch.set_num_threads(1)
torch.manual_seed(int(os.environ.get("ORCHESTUNE_SEED", "0")))
dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
rank, world = dist.get_rank(), dist.get_world_size()
device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if torch.cuda.is_available() else torch.device("cpu")

points = torch.rand(1024, 2, generator=torch.Generator().manual_seed(1)) * 4 - 2
heights = (points[:, :1] * 2).sin() * points[:, 1:].cos()
mine = slice(rank, 768, world)  # each process has its share of the training data
x, y = points[mine].to(device), heights[mine].to(device)

network = nn.Sequential(nn.Linear(2, args.width), nn.Tanh(), nn.Linear(args.width, 1)).to(device)
model = DistributedDataParallel(network)
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)

for epoch in range(1, 11):
    for start in range(0, len(x), args.batch):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x[start : start + args.batch]), y[start : start + args.batch]).backward()
        optimizer.step()
    if rank == 0:  # otherwise every value would be printed twice
        with torch.no_grad():
            loss = nn.functional.mse_loss(network(points[768:].to(device)), heights[768:].to(device))
        print(f"epoch {epoch}: loss={loss.item():.5f}", flush=True)

dist.destroy_process_group()

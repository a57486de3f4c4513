"""An agent that learns to walk along a cliff; prints the mean reward of each block of episodes."""

import argparse
import os

import gymnasium
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--alpha", type=float, default=0.1)
parser.add_argument("--gamma", type=float, default=0.99)
parser.add_argument("--epsilon", type=float, default=0.1)
parser.add_argument("--method", choices=["sarsa", "q_learning"], default="sarsa")
args = parser.parse_args()

seed = int(os.environ.get("ORCHESTUNE_SEED", "0"))  # another one in each trial
chance = np.random.default_rng(seed)
world = gymnasium.make("CliffWalking-v1", max_episode_steps=200)
values = np.zeros((world.observation_space.n, world.action_space.n))


def act(state):
    return int(chance.integers(4)) if chance.random() < args.epsilon else int(values[state].argmax())


def episode():
    state, _ = world.reset(seed=int(chance.integers(2**31)))
    action, total = act(state), 0.0
    while True:
        following, reward, terminated, truncated, _ = world.step(action)
        next_action = act(following)
        future = values[following].max() if args.method == "q_learning" else values[following, next_action]
        target = reward + (0.0 if terminated else args.gamma * future)
        values[state, action] += args.alpha * (target - values[state, action])
        state, action, total = following, next_action, total + float(reward)
        if terminated or truncated:
            return total


for block in range(1, 11):
    reward = np.mean([episode() for _ in range(30)])
    print(f"step={block} reward={reward:.2f}", flush=True)

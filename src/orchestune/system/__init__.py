"""What this machine has for every part: files that their owner alone can read, processes that nothing confuses."""

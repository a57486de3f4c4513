"""CPUs, memory and GPUs: requests, allocation, measured usage, placement, quarantine."""

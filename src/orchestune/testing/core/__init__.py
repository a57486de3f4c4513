"""The parts of `core_contract`."""

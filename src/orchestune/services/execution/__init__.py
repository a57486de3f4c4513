"""Use cases of workers: registration, calls, results, files. They write under the lock of one experiment's ledger."""

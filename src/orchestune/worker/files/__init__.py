"""Files of trials: code bundles, folders, checkpoints, artifacts, uploads."""

"""Commands for the work on a training script: init, test, try, watch, shell."""

"""Search in simulated time; see `__main__`."""

import os

for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")  # before NumPy is loaded, as in the server

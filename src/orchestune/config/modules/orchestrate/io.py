"""What scripts import from there: the parameters of their trial, and ways to report."""

from sigopt import get_parameter as assignment
from sigopt import log_failure, log_metadata, log_metric

__all__ = ["assignment", "log_failure", "log_metadata", "log_metric"]

from orchestune.sdk.optimizer import Optimizer as Optimizer
from orchestune.sdk.reporting import report as report

__version__: str
__all__ = ["Optimizer", "__version__", "report"]

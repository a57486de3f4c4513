from orchestune.sdk.reporting import report as report

__version__: str
__all__ = ["__version__", "report"]

"""What every implementation of a port is tested with: contract test classes and strategies for Hypothesis."""

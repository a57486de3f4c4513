"""Diagnostic checks of this machine and of the connected clusters."""

"""Experiments that are not described by a file of ours: command lines, overrides, files of other tools."""

"""Experiments from other sources than an experiment file: command lines, overrides, files of other tools."""

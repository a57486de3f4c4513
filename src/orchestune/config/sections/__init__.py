"""The sections of an experiment file, each parsed into values of the domain."""

"""Statements that run for every trial, as strings (see `session`). Changes of state have the old one as guard.

`ORDER BY +number` sorts the few selected rows; without the sign SQLite would scan all trials of the experiment, because
the primary key has that order already.
"""

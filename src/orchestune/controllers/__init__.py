"""Controllers that advance experiments.

They are level-triggered: each tick reads the current rows and does what is missing. `bootstrap.build` assigns them to
loops (`loop`), and docs/explanation/threads.md says what each loop may block on.
"""

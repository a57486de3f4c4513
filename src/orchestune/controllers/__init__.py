"""Controllers that advance experiments. Level-triggered: each tick reads the current rows and does what is missing."""

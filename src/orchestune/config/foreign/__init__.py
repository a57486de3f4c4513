"""Files and storages of other tools, as an experiment file in the making."""

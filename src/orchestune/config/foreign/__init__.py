"""Import of files and storages of other tools as drafts of experiment files."""

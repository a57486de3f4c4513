"""Records of experiments that outlive their server: a format, shelves to keep them on, copying from place to place."""

"""Records of experiments that outlive their server: the format, archives in a file store, and copying."""

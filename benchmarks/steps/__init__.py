"""From a program as it is to its best configuration: what each tool makes its user write and type."""

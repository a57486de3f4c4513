"""The YAML document: nodes with positions, kinds of values, collected problems."""

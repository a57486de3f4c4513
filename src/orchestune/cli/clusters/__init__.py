"""The commands of `cluster`, and what they have in common."""

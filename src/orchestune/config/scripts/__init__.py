"""What a script says of itself: its options, found in its text. Nothing of it is run."""

"""What moves experiments along. Level-triggered: each looks at the rows as they are and does what is missing."""

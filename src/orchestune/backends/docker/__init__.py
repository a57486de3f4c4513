"""Workers in containers of one Docker daemon."""

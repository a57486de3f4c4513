"""The private Python that runs workers in any image, and the server's own image."""

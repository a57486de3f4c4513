"""The child process that runs learning engines and analyses, and its protocol with the server."""

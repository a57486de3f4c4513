"""From the file that a user wrote to the values of the domain; every mistake with its line, all of them at once."""

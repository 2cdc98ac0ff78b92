"""The cell magics, one spec a file."""

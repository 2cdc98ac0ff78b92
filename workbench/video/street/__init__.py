"""The generated street: its script, its figures, its backdrop, and how they become frames."""

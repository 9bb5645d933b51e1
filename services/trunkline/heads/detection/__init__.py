"""Detection: objects with their boxes and classes, and their outlines where the head gives them."""

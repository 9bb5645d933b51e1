"""MLServer with a runtime of its own for the same models."""

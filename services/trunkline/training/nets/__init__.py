"""Networks that a vector-valued answer (classes, numbers) is learned with."""

"""Galleries: images kept by their embeddings in a database, searched through an index in memory."""

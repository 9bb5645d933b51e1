"""Similarity: a vector for each picture, near to those of pictures that show the same thing."""

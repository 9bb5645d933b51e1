"""Segmentation: a class for every pixel of the picture."""

"""Regression: quantities such as angles, counts and sizes, estimated from a picture."""

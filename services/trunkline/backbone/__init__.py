"""The backbone service: pictures in, features out."""

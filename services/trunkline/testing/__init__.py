"""The test kit: real servers for tests of Trunkline and of what is built on it."""

from trunkline.testing.serve import serve, serve_split

__all__ = ["serve", "serve_split"]

"""Plots of the benchmarks, in one look."""

from trunkline.loadtest.plotting import panels, save

__all__ = ["COLOURS", "panels", "save"]

COLOURS = {
    "all in one": "#1b5e9e",
    "split": "#6fa8dc",
    "hand-written": "#d98032",
    "MLServer": "#8a8a8a",
    "MLServer, batching": "#bbbbbb",
}

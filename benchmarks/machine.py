"""Which machine a figure comes from."""

from trunkline.loadtest import machine


def describe() -> str:
    """One line: processor, cores that may be used, system, versions of what counts."""
    return machine.describe(("onnxruntime", "grpcio", "pillow", "numpy"))

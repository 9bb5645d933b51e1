"""Trunkline: one backbone pass, every vision task."""

import os

# Read by ONNX Runtime when it is first imported, so it must be set before anything else here is.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"

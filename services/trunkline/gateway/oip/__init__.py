"""The Open Inference Protocol, version 2: heads, the backbone and "analyze" as models with tensors in and out."""

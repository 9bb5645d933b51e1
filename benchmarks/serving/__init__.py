"""The standard run: bare ONNX Runtime, Trunkline in both forms, and the other servers, in one go."""

"""How the outputs of detectors tell of boxes, one module for each library that exports them."""

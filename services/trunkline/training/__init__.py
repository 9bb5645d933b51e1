"""Everything that needs torch: exporting backbones, training heads. Serving never imports this package."""

import os

# Threads that wait do not spin: on cores that others use too, small nets train several times as fast.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

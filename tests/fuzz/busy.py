"""How much longer things may take here than on a machine of one's own."""

import os


def scale() -> float:
    """At least 1: how many wait for each core, as the system counts them over the last minute."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))

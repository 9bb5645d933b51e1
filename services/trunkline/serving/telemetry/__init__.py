"""What a process says about itself while it serves: metrics, traces, and the request that a log line belongs to."""

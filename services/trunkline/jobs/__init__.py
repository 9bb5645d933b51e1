"""Training jobs: the durable store, the scheduler that starts workers, and the service. No torch here."""

"""HTTP and JSON: a translator before the gRPC port of the same process. It knows messages, but no heads."""

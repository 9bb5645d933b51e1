"""A plain server written by hand: grpc.aio and a thread pool."""

"""What every gRPC process of Trunkline shares: server, errors, settings, sessions, workers, tensors."""

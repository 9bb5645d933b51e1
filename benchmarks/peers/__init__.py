"""Other ways to serve the same models, as people do it today: each model whole, with a backbone of its own."""

"""The ways to get a head: each fits a net on what it sees of the pictures."""

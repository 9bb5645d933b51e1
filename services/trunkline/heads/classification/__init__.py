"""Classification: which of a list of classes a picture shows."""

"""What hostile callers, files and broken parts cost the service, and those who call it beside them."""

"""The `trunkline` command. Modules import what is heavy inside their functions, so that help comes at once."""

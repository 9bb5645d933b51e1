"""Named points of an object."""

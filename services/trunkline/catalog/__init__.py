"""The catalog: versions of heads, which of them is the default, and the gate before it."""

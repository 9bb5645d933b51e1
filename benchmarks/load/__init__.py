"""The load generator: one asyncio process that gets orders as JSON lines and answers with JSON lines."""

"""Features in memory that the processes of a machine share, so that large ones are not sent."""

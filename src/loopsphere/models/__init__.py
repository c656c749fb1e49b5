"""The networks, and the checkpoints they load."""

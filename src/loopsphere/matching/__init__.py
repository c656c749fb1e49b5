"""The same loop twice: in another format, at another gain, moved in time or pitch. Arrays only."""

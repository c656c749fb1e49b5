"""What is measured of a loop, in units a musician knows."""

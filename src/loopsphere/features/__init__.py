"""Waveforms to log-mel windows, as the encoders expect them."""

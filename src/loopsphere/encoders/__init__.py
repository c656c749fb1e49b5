"""Encoders: waveforms to embeddings."""

from loopsphere.encoders.base import Encoder
from loopsphere.encoders.loading import load_encoder
from loopsphere.encoders.registry import ENCODERS, EncoderRecord

__all__ = ["ENCODERS", "Encoder", "EncoderRecord", "load_encoder"]

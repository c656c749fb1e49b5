"""Encoders: waveforms to embeddings."""

from loopsphere.embed.base import Encoder
from loopsphere.embed.loading import load_encoder
from loopsphere.embed.registry import ENCODERS, EncoderRecord

__all__ = ["ENCODERS", "Encoder", "EncoderRecord", "load_encoder"]

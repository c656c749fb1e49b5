"""Work past one machine and past one memory: listings, shards, streams of embeddings, and Ray."""

from loopsphere.scale.cached import score_cached
from loopsphere.scale.jobs import embed_to_shards, score_to_shards
from loopsphere.scale.results import ScaleResult

__all__ = ["ScaleResult", "embed_to_shards", "score_cached", "score_to_shards"]

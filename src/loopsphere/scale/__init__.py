"""Work past one machine and past one memory: listings, shards, Ray, and streams of embeddings.

`jobs` has `embed_to_shards` and `score_to_shards`, `cached` has `score_cached`. Nothing is imported here: the
workers that read files need neither scikit-learn nor torch.
"""

"""Deep detectors: one file a training strategy, over one hypersphere."""

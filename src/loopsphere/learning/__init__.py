"""From a collection to scores and a model: features, cross-fitting, calibration, the model file."""

"""Labelled evaluation: metrics, protocols, tables and figures over arrays and callables."""

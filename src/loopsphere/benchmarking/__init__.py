"""`loopsphere benchmark`: which detectors, loops and faults are compared; the comparing is in `evaluate`."""

from loopsphere.benchmarking.gather import BenchmarkRequest
from loopsphere.benchmarking.roster import ROSTER, default_roster
from loopsphere.benchmarking.run import BenchmarkResult, run_benchmark

__all__ = ["ROSTER", "BenchmarkRequest", "BenchmarkResult", "default_roster", "run_benchmark"]

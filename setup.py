"""The one compiled part: attention in bfloat16, for processors that most machines do not have.

Where it cannot be compiled, the installation goes on without it, and torch does the same, more slowly.
"""

import platform
import sys

from setuptools import Extension, setup

kernel = Extension(
    "loopsphere.models._attention_kernel",
    sources=["src/loopsphere/models/attention_kernel.c"],
    extra_link_args=["-s"],  # without what only debuggers read, most of it
    optional=True,
)
setup(ext_modules=[kernel] if sys.platform == "linux" and platform.machine() == "x86_64" else [])

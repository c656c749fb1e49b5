"""`python -m loopsphere`."""

from loopsphere.cli import main

main()

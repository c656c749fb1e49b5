"""Find the odd loops in a collection (arXiv 2505.23784)."""

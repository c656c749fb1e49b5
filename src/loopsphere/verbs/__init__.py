"""What the package does, a module a verb; `loopsphere` offers them, and the commands call them."""

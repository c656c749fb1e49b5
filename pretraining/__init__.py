"""How the bundled encoder was made."""

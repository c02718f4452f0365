"""scatc."""

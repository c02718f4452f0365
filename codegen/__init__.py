"""Programs to source text; one folder per target."""

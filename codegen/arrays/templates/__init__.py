"""The Jinja2 templates of pure functions of arrays."""

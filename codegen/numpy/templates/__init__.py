"""The Jinja2 templates of the numpy target."""

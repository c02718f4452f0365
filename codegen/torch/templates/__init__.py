"""The Jinja2 templates of the torch target."""

"""The Jinja2 templates of the JAX target."""

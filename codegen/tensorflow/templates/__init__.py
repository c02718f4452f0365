"""The Jinja2 templates of the TensorFlow target."""

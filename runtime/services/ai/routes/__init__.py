"""The HTTP calls of AI."""

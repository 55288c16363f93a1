"""The HTTP calls of accounts and keys."""

"""The HTTP calls of notifications: one file a resource."""

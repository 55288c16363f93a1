"""What the runtime tells of itself: logs and figures."""

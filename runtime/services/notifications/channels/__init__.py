"""What brings a message to a recipient: one file a channel, behind the port in `port.py`."""

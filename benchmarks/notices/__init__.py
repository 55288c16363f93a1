"""Notifications through four channels beside the libraries that send them: receivers, both senders, what is checked."""

"""Gateways to models beside each other: a provider that answers at once, a load, and the peers."""

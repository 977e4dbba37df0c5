"""How listeners are told: a notifier for each of their types."""

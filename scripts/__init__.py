"""Programs for those who work on Pulpit; nothing here is installed."""

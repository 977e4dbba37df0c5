"""The database and the file store."""

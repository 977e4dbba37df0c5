"""Pulpit: a content server with the Pulp 2 API that tells the world what it does."""

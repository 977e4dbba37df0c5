"""Isos: files of any kind, told of by a PULP_MANIFEST."""

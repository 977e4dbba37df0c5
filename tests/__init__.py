"""The tests of Pulpit."""

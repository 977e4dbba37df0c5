"""Values and rules of the server, without any input or output."""

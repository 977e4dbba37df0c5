"""What repositories hold: the registry of content types, and how their content comes and goes."""

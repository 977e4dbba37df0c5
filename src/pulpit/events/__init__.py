"""The feed that reads the journal, and the channels that tell what stands in it."""

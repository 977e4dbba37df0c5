"""RPM repositories: metadata, sync and publish."""

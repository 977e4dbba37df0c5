"""REST v2, the event stream and published content."""

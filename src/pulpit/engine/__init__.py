"""Who runs a task, when and where."""

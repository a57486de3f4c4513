"""Early stopping: rules that prune unpromising trials."""

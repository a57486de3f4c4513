"""Early stopping: rules that end trials which are not worth finishing."""

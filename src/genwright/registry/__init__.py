"""Names, immutable versions, labels and edges: the memory of the house."""

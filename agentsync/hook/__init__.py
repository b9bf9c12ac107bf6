"""The hook entry: what the gate starts when it cannot answer by itself."""

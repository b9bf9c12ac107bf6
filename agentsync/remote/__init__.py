"""The engine between machines: a store of small files that is changed by compare-and-swap. Only `ops` uses it."""

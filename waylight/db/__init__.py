"""SQL: models, sessions, and the spatial, locking and aggregating statements as functions."""

"""Subject folders or patches to shards, and shards to batches."""

"""Programs that measure a hot path beside a peer in the same run."""

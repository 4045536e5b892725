"""Programs that measure a hot path beside a peer in the same run, or beside what the mathematics asks for."""

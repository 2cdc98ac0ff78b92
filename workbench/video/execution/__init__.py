"""Plans mapped onto the engine: chunks, tasks, the ordered fold, the cache."""

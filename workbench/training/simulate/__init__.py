"""The event simulator: the same programs that workers run, under given times, links, prices and losses."""

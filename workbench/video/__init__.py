"""Objects, queries, planner, operators, models and results for video."""

"""Plans of video queries: operators, rewrites and costs."""

"""One offline HTML file from a notebook."""

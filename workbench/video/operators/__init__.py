"""Small pure functions on frames, boxes and tracks; they know nothing of Dask or Jupyter."""

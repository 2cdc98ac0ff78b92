"""One Dask session; runs; plans; the artefact store; errors; units."""

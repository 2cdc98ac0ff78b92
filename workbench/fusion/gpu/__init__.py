"""The GPU back end: kernels of a plan as Triton source, compiled with or without a device, and launched."""

"""Detectors and property models."""

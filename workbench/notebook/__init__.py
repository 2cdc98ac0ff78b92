"""Magics, widgets, displays, reports and completion."""

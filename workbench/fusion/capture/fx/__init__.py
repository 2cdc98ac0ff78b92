"""Graphs of torch: captured by Dynamo and AOTAutograd, cut into regions, each of which becomes expressions."""

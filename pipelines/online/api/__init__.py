"""The HTTP side of the endpoint: routes, bodies, problems, keys, the page. No Ray here: a `Backend` does the work."""

"""THE FRONT DOOR: HTTP in, HTTP out."""

"""THE SHAPES ON THE WIRE: marshmallow only, never derived from a model."""

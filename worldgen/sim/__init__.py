"""A library made playable: control, worlds, many worlds at once, an expert, Gymnasium."""

"""Every figure in the docs. Run as modules from the checkout: `python -m benchmarks.worldgen`."""

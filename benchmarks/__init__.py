"""Every figure in the docs. Run as modules from the checkout: `python -m benchmarks.worldgen`."""

import worldgen  # noqa: F401  chooses how MuJoCo draws, which is fixed once that is imported

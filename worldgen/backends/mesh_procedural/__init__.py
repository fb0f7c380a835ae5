"""Draws objects from templates: exact extents, closed meshes, textures, collision primitives and sites, without any model.

The only entrance is `make`. A template is a function from a `Brief` (size, dice, colours) to a `Draft` (solids, geoms, sites).
"""

from __future__ import annotations

from collections.abc import Callable

from ... import vocabulary
from ...errors import AssetError
from ...shapes import Shape
from ...spec import ObjectSpec
from . import assemblies, boxes, containers, solids, sweeps, turned, vessels
from .draft import Brief, Draft, finish

TEMPLATES: dict[str, Callable[[Brief], Draft]] = {
    "apple": solids.apple,
    "banana": sweeps.banana,
    "basket": containers.basket,
    "bottle": turned.bottle,
    "bowl": vessels.bowl,
    "can": turned.can,
    "cube": boxes.cube,
    "drawer": assemblies.drawer,
    "mug": vessels.mug,
    "parcel": boxes.parcel,
    "plate": vessels.plate,
    "zone": assemblies.zone,
}


def make(spec: ObjectSpec) -> Shape:
    """Draw an object.

    Raises:
        AssetError: If the category, colour, pattern or template is unknown; the message lists the valid names.
    """
    known = vocabulary.categories()
    if spec.category not in known:
        raise AssetError(
            f"No template draws a '{spec.category}'. {vocabulary.valid_names(spec.category, list(known))}"
        )
    template = known[spec.category].template
    if template not in TEMPLATES:
        raise AssetError(
            f"Category '{spec.category}' names template '{template}'. {vocabulary.valid_names(template, list(TEMPLATES))}"
        )
    brief = Brief(spec)
    return finish(brief, TEMPLATES[template](brief))

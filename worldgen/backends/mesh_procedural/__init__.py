"""Draws objects from templates: exact extents, closed meshes, textures, collision primitives and sites, without any model.

The only entrance is `make`. A template is a function from a `Brief` (size, dice, colours) to a `Draft` (solids, geoms, sites).
"""

from __future__ import annotations

from collections.abc import Callable

from ... import vocabulary
from ...errors import AssetError
from ...shapes import Shape
from ...spec import ObjectSpec
from . import assemblies, boxes, containers, outlines, solids, sweeps, tools, turned, vessels
from .draft import Brief, Draft, finish

TEMPLATES: dict[str, Callable[[Brief], Draft]] = {
    "apple": solids.apple,
    "arch": outlines.arch,
    "avocado": solids.avocado,
    "ball": solids.ball,
    "banana": sweeps.banana,
    "barrel": turned.barrel,
    "basket": containers.basket,
    "bell": turned.bell,
    "bin": containers.bin_,
    "board": containers.board,
    "bone": outlines.bone,
    "book": boxes.book,
    "bottle": turned.bottle,
    "bowl": vessels.bowl,
    "bracelet": sweeps.bracelet,
    "bread": solids.bread,
    "brick": boxes.brick,
    "bucket": vessels.bucket,
    "bulb": turned.bulb,
    "cactus": solids.cactus,
    "caddy": containers.caddy,
    "camera": boxes.camera,
    "can": turned.can,
    "candle": turned.candle,
    "candle_holder": vessels.candle_holder,
    "cane": sweeps.cane,
    "car": boxes.car,
    "carrot": sweeps.carrot,
    "carton": boxes.carton,
    "cheese": boxes.cheese,
    "chest": assemblies.chest,
    "chili": sweeps.chili,
    "chocolate": boxes.chocolate,
    "clock": boxes.clock,
    "coaster": vessels.coaster,
    "cone": turned.cone,
    "cookie": outlines.cookie,
    "crate": containers.crate,
    "crescent": outlines.crescent,
    "croissant": sweeps.croissant,
    "cross": outlines.cross,
    "cube": boxes.cube,
    "cucumber": sweeps.cucumber,
    "cup": vessels.cup,
    "cupboard": assemblies.cupboard,
    "cupcake": turned.cupcake,
    "cutter": outlines.cutter,
    "dice": boxes.dice,
    "dish": containers.dish,
    "domino": boxes.domino,
    "donut": sweeps.donut,
    "drawer": assemblies.drawer,
    "duck": solids.duck,
    "dumbbell": tools.dumbbell,
    "egg": solids.egg,
    "eggplant": solids.eggplant,
    "eraser": boxes.eraser,
    "flower": outlines.flower,
    "fork": tools.fork,
    "funnel": vessels.funnel,
    "gear": outlines.gear,
    "gift": boxes.gift,
    "goblet": vessels.goblet,
    "grinder": turned.grinder,
    "hammer": tools.hammer,
    "heart": outlines.heart,
    "hook": sweeps.hook,
    "hourglass": turned.hourglass,
    "house": boxes.house,
    "jar": turned.jar,
    "key": tools.key,
    "knife": tools.knife,
    "lemon": solids.lemon,
    "magnet": sweeps.magnet,
    "marker": tools.marker,
    "mat": containers.mat,
    "mug": vessels.mug,
    "mushroom": turned.mushroom,
    "nut": outlines.nut,
    "onion": solids.onion,
    "organiser": containers.organiser,
    "paintbrush": tools.paintbrush,
    "pan": vessels.pan,
    "parcel": boxes.parcel,
    "pawn": turned.pawn,
    "pear": solids.pear,
    "pencil": tools.pencil,
    "pepper": solids.pepper,
    "phone": boxes.phone,
    "plate": vessels.plate,
    "pot": vessels.pot,
    "potato": solids.potato,
    "pumpkin": solids.pumpkin,
    "rack": containers.rack,
    "radio": boxes.radio,
    "remote": boxes.remote,
    "rolling_pin": tools.rolling_pin,
    "sausage": sweeps.sausage,
    "scissors": tools.scissors,
    "screwdriver": tools.screwdriver,
    "shaker": turned.shaker,
    "shoebox": containers.shoebox,
    "soap": boxes.soap,
    "spatula": tools.spatula,
    "sponge": boxes.sponge,
    "spool": turned.spool,
    "spoon": tools.spoon,
    "stand": vessels.stand,
    "star": outlines.star,
    "strawberry": solids.strawberry,
    "tangerine": solids.tangerine,
    "teapot": turned.teapot,
    "toast": outlines.toast,
    "tomato": solids.tomato,
    "toothbrush": tools.toothbrush,
    "toothpaste": tools.toothpaste,
    "tray": containers.tray,
    "triangle": outlines.triangle,
    "truck": boxes.truck,
    "vase": turned.vase,
    "whisk": tools.whisk,
    "wrench": tools.wrench,
    "zone": assemblies.zone,
}


def make(spec: ObjectSpec) -> Shape:
    """Draw an object.

    Raises:
        AssetError: If the category, colour, pattern or template is unknown; the message lists the valid names.
    """
    known = vocabulary.categories()
    if spec.category not in known:
        raise AssetError(f"No template draws a '{spec.category}'. {vocabulary.valid_names(spec.category, list(known))}")
    template = known[spec.category].template
    if template not in TEMPLATES:
        raise AssetError(
            f"Category '{spec.category}' names template '{template}'. {vocabulary.valid_names(template, list(TEMPLATES))}"
        )
    brief = Brief(spec)
    return finish(brief, TEMPLATES[template](brief))

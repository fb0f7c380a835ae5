"""Draws objects from templates: exact extents, closed meshes, textures, collision primitives and sites, without any model.

The only entrance is `make`. A template is a function from a `Brief` (size, dice, colours) to a `Draft` (solids, geoms, sites).
"""

from __future__ import annotations

from collections.abc import Callable

from ... import vocabulary
from ...errors import AssetError
from ...shapes import Shape
from ...spec import ObjectSpec
from . import (
    assemblies,
    boxes,
    containers,
    lumps,
    oddities,
    ornaments,
    outlines,
    solids,
    sweeps,
    tools,
    toys,
    turned,
    utensils,
    vessels,
)
from .draft import Brief, Draft, finish, usual_sites

__all__ = ["TEMPLATES", "make", "usual_sites"]

TEMPLATES: dict[str, Callable[[Brief], Draft]] = {
    "apple": solids.apple,
    "arch": outlines.arch,
    "avocado": solids.avocado,
    "ball": lumps.ball,
    "banana": sweeps.banana,
    "barrel": ornaments.barrel,
    "basket": containers.basket,
    "bell": ornaments.bell,
    "bin": containers.bin_,
    "board": containers.board,
    "bone": outlines.bone,
    "book": boxes.book,
    "bottle": turned.bottle,
    "bowl": vessels.bowl,
    "bracelet": sweeps.bracelet,
    "bread": lumps.bread,
    "brick": toys.brick,
    "bucket": vessels.bucket,
    "bulb": ornaments.bulb,
    "cactus": lumps.cactus,
    "caddy": containers.caddy,
    "camera": toys.camera,
    "can": turned.can,
    "candle": turned.candle,
    "candle_holder": vessels.candle_holder,
    "cane": sweeps.cane,
    "car": toys.car,
    "carrot": sweeps.carrot,
    "carton": boxes.carton,
    "cheese": boxes.cheese,
    "chest": assemblies.chest,
    "chili": sweeps.chili,
    "chocolate": boxes.chocolate,
    "clock": toys.clock,
    "coaster": vessels.coaster,
    "cone": ornaments.cone,
    "cookie": outlines.cookie,
    "crate": containers.crate,
    "crescent": outlines.crescent,
    "croissant": sweeps.croissant,
    "cross": outlines.cross,
    "cube": boxes.cube,
    "cucumber": sweeps.cucumber,
    "cup": vessels.cup,
    "cupboard": assemblies.cupboard,
    "cupcake": ornaments.cupcake,
    "cutter": outlines.cutter,
    "dice": toys.dice,
    "dish": containers.dish,
    "domino": toys.domino,
    "donut": sweeps.donut,
    "drawer": assemblies.drawer,
    "duck": lumps.duck,
    "dumbbell": tools.dumbbell,
    "egg": lumps.egg,
    "eggplant": solids.eggplant,
    "eraser": boxes.eraser,
    "flower": outlines.flower,
    "fork": utensils.fork,
    "funnel": vessels.funnel,
    "gear": outlines.gear,
    "gift": toys.gift,
    "goblet": vessels.goblet,
    "grinder": turned.grinder,
    "hammer": tools.hammer,
    "heart": outlines.heart,
    "hook": sweeps.hook,
    "hourglass": ornaments.hourglass,
    "house": toys.house,
    "jar": turned.jar,
    "key": tools.key,
    "knife": utensils.knife,
    "lemon": solids.lemon,
    "magnet": sweeps.magnet,
    "marker": utensils.marker,
    "mat": containers.mat,
    "mug": vessels.mug,
    "mushroom": ornaments.mushroom,
    "nut": outlines.nut,
    "oddity": oddities.oddity,
    "onion": solids.onion,
    "organiser": containers.organiser,
    "paintbrush": tools.paintbrush,
    "pan": vessels.pan,
    "parcel": boxes.parcel,
    "pawn": ornaments.pawn,
    "pear": solids.pear,
    "pencil": utensils.pencil,
    "pepper": solids.pepper,
    "phone": boxes.phone,
    "plate": vessels.plate,
    "pot": vessels.pot,
    "potato": lumps.potato,
    "pumpkin": solids.pumpkin,
    "rack": containers.rack,
    "radio": toys.radio,
    "remote": boxes.remote,
    "rolling_pin": tools.rolling_pin,
    "sausage": sweeps.sausage,
    "scissors": tools.scissors,
    "screwdriver": tools.screwdriver,
    "shaker": turned.shaker,
    "shoebox": containers.shoebox,
    "soap": boxes.soap,
    "spatula": utensils.spatula,
    "sponge": boxes.sponge,
    "spool": ornaments.spool,
    "spoon": utensils.spoon,
    "stand": vessels.stand,
    "star": outlines.star,
    "strawberry": solids.strawberry,
    "tangerine": solids.tangerine,
    "teapot": turned.teapot,
    "toast": outlines.toast,
    "tomato": solids.tomato,
    "toothbrush": utensils.toothbrush,
    "toothpaste": utensils.toothpaste,
    "tray": containers.tray,
    "triangle": outlines.triangle,
    "truck": toys.truck,
    "vase": turned.vase,
    "whisk": utensils.whisk,
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
        raise AssetError(f"No template draws a '{spec.category}'. {vocabulary.valid_names(spec.category, known)}")
    template = known[spec.category].template
    if template not in TEMPLATES:
        raise AssetError(
            f"Category '{spec.category}' names template '{template}'. {vocabulary.valid_names(template, TEMPLATES)}"
        )
    brief = Brief(spec)
    return finish(brief, TEMPLATES[template](brief))

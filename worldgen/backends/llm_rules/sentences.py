"""Objects and goals → instruction and paraphrases, from the templates of the split's side. Draws, but decides nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ... import vocabulary
from ...errors import DesignError
from ...phrases import attribute, noun, refer, say, templates
from ...wire import Brief, WireObject
from .grammar import Parse

PARAPHRASES = 5
COUNTS = {2: "two", 3: "three", 4: "four"}


def sentences(
    family: str,
    objects: Sequence[WireObject],
    goals: Sequence[tuple[int, int | None]],
    said: Sequence[tuple[str, ...]],
    asked: Parse,
    brief: Brief,
) -> list[str]:
    """Return the instruction, then the paraphrases.

    Args:
        family: Which templates to use.
        objects: All objects of the scene.
        goals: Index of target and receiver of each goal.
        said: For each object, the attributes that the request named.
        asked: The request; its own verb leads the instruction.
        brief: Seed and split.
    """
    request = brief.request
    chance = random.Random(f"sentences/{request.seed}/{request.split}/{request.text}")
    held_out = request.split == "unseen-instructions"
    texts = list(templates(family, held_out))
    first = next((text for text in texts if asked.verb and text.split()[0] == asked.said.split()[0]), None)
    first = first or (texts[0] if asked.verb and not held_out else chance.choice(texts))
    rest = [text for text in texts if text != first]
    chosen = [first, *chance.sample(rest, min(PARAPHRASES, len(rest)))]
    moved, receiver = [one for one, _ in goals], goals[0][1]
    colourful = chance.random() < 0.3  # a colour that nobody needs is still a word to learn

    def other(synonyms: bool) -> str:
        return "" if receiver is None else _phrase(objects, [receiver], said, synonyms, False, chance)

    plural = len(moved) > 1
    told = [say(chosen[0], _phrase(objects, moved, said, False, colourful, chance), other(False), plural)]
    for text in chosen[1:]:
        synonyms = chance.random() < 0.25
        told.append(say(text, _phrase(objects, moved, said, synonyms, colourful, chance), other(synonyms), plural))
    return list(dict.fromkeys(told))


def _phrase(
    objects: Sequence[WireObject],
    meant: Sequence[int],
    said: Sequence[tuple[str, ...]],
    synonyms: bool,
    colourful: bool,
    chance: random.Random,
) -> str:
    """Name one object, or several: "two red mugs", "apple and the pear"."""
    kinds = list(dict.fromkeys(objects[index].category for index in meant))
    parts = []
    for kind in kinds:
        group = [index for index in meant if objects[index].category == kind]
        rivals = [item for index, item in enumerate(objects) if index not in group]
        if len(group) == 1:
            keys = (*said[group[0]], *(("colour",) if colourful else ()))
            phrase = refer(objects[group[0]], rivals, keys)
            parts.append(_synonym(phrase, kind, chance) if synonyms else phrase)
        else:
            parts.append(_group([objects[index] for index in group], rivals, said[group[0]]))
    return " and the ".join(parts)


def _group(group: Sequence[WireObject], rivals: Sequence[WireObject], said: tuple[str, ...]) -> str:
    colours = {item.colour for item in group}
    rivals = [rival for rival in rivals if rival.category == group[0].category]
    if rivals and len(colours) > 1:
        raise DesignError(f"Nothing tells the {noun(group[0].category, True)} to be moved from the other one.")
    words = [group[0].colour] if len(colours) == 1 and ("colour" in said or rivals) else []
    words += [attribute(group[0], key) for key in ("pattern", "material") if key in said]
    known = vocabulary.categories()[group[0].category]
    plural = known.plural or noun(group[0].category, True)
    return " ".join([COUNTS[len(group)], *(word for word in words if word), plural])


def _synonym(phrase: str, category: str, chance: random.Random) -> str:
    """Say the noun in another word of the vocabulary, where there is one."""
    others = vocabulary.categories()[category].synonyms
    return phrase[: -len(noun(category))] + noun(chance.choice(others)) if others else phrase

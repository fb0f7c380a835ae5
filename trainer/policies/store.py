"""Policies ↔ folders: which class a folder holds, and what stands beside its weights. Knows no training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import torch

from worldgen import data

from .. import checkpoint
from ..config import TrunkSettings
from ..errors import CheckpointError, RunError
from ..records import Interface
from .base import Sighted
from .text import Words

_WORDS = "tokenizer.json"
KINDS = {
    "base": "trainer.policies.base:Sighted",
    "flow": "trainer.policies.flow:FlowPolicy",
    "token": "trainer.policies.token:TokenPolicy",
}
"""Kind of policy → its class, imported on use."""


def save_policy(policy: Sighted, folder: Path, facts: Mapping[str, Any]) -> None:
    """Write a policy folder in the layout of the Hugging Face hub.

    Args:
        policy: What to save.
        folder: Where; what was there is replaced in one step.
        facts: How it was made and what it achieved, for config.json and the model card.

    Raises:
        CheckpointError: When it cannot be written.
    """
    config = {"kind": policy.kind, **policy.settings(), "facts": dict(facts)}
    numbers = {name: [round(float(v), 6) for v in value] for name, value in policy.statistics.state_dict().items()}
    before = {
        "images": "uint8 RGB to [-1, 1]",
        "state": {key: numbers[f"state_{key}"] for key in ("mean", "std")},
        "clip": 6.0,
    }
    after = {"action": {key: numbers[f"action_{key}"] for key in ("mean", "std")}, "names": policy.interface.action}
    files = {
        _WORDS: policy.words.dumps(),
        "policy_preprocessor.json": json.dumps(before, indent=1) + "\n",
        "policy_postprocessor.json": json.dumps(after, indent=1) + "\n",
        "README.md": _card(policy, facts),
    }
    checkpoint.write(folder, policy.state_dict(), config, files)


def load_policy(place: Path) -> Sighted:
    """Read a policy folder.

    Raises:
        CheckpointError: When it is damaged, unknown or of another format.
    """
    config = checkpoint.read_config(place)
    kind = str(config.get("kind"))
    if kind not in KINDS:
        raise CheckpointError(f"'{place}' holds a {kind!r}; known kinds are {', '.join(KINDS)}.")
    module, name = KINDS[kind].split(":")
    maker = getattr(import_module(module), name)
    words = Words.parse(checkpoint.read_file(place, _WORDS, config), place / _WORDS)
    try:
        interface = Interface.parse(config["interface"])
        own = {key: config[key] for key in maker.own_settings()}
        policy = maker(interface, TrunkSettings(**config["trunk"]), words, **own)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"'{place / checkpoint.CONFIG}' does not describe a {kind} policy: {str(error).rstrip('.')}."
        ) from error
    checkpoint.fill(policy, checkpoint.read_weights(place, str(config.get("sha256", ""))), place)
    return cast(Sighted, policy.eval())


def load_acting(run: Path) -> Any:
    """Read the policy of a run, or of a policy folder.

    Raises:
        CheckpointError: See `load_policy`.
        RunError: When it does not act.
    """
    folder = policy_folder(str(run))
    policy = load_policy(folder)
    if policy.kind == "base":
        raise RunError(
            f"'{folder}' sees and reads but does not act. Train it first: `trainer sft DATA --base {folder}`."
        )
    return policy


def policy_folder(place: str) -> Path:
    """Return the policy folder that a setting names: `shipped` for the base that comes with the package, a run, or the folder itself."""
    if not place:
        raise RunError("The name of a policy is empty. Give the folder of a run or of a policy.")
    if place == "shipped":
        return data.path("assets", "policies", "base")
    return Path(place) / "policy" if checkpoint.exists(Path(place) / "policy") else Path(place)


def threads(count: int) -> None:
    """Let networks of this process use so many threads."""
    torch.set_num_threads(count)


def policy_digest(place: str) -> str:
    """Return what tells the weights of a policy from others; see `policy_folder`."""
    return str(checkpoint.read_config(policy_folder(place)).get("sha256", ""))


def new_policy(
    kind: str,
    interface: Interface,
    base: Sighted | None = None,
    trunk: TrunkSettings = TrunkSettings(),
    own: Mapping[str, int] = MappingProxyType({}),
) -> Any:
    """Return an untrained policy that sees and reads as a base does, or from random weights.

    Args:
        kind: One of `KINDS`.
        interface: What it sees and does.
        base: Where sight and words come from; None for random weights of sizes `trunk`.
        trunk: See there.
        own: Further arguments of the policy's class.

    Raises:
        RunError: When sizes do not fit each other.
    """
    module, name = KINDS[kind].split(":")
    maker = getattr(import_module(module), name)
    try:
        policy = maker(interface, trunk, **own) if base is None else maker(interface, base.sizes, base.words, **own)
    except ValueError as error:
        raise RunError(str(error)) from error
    if base is not None:
        for part in ("trunk", "where", "statistics"):
            getattr(policy, part).load_state_dict(getattr(base, part).state_dict())
    return policy


def _card(policy: Sighted, facts: Mapping[str, Any]) -> str:
    count = sum(value.numel() for value in policy.parameters())
    face = policy.interface
    rows = "\n".join(f"- **{name}**: `{json.dumps(value, default=str)}`" for name, value in facts.items())
    return f"""---
license: apache-2.0
library_name: worldgen-trainer
tags: [robotics, vision-language-action]
---
# {policy.kind} policy for {face.robot}

{count:,} parameters. Sees {", ".join(face.cameras)} at {face.size} px and a state of {len(face.state)} numbers ({", ".join(face.state)}); reads an
instruction; acts at {face.rate_hz:g} Hz with {len(face.action)} numbers ({", ".join(face.action)}): metres, radians in the base frame, gripper 0 to 1.

{rows}

Load it with `trainer.policies.store.load_policy(folder)`. Everything it was trained on was generated by worldgen.
"""

"""Policy folders: written in one step, read with every byte checked. Knows how weights are kept, not what they do.

A folder is made beside its place and renamed into it, so that a full disk or a kill leaves the one before.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from .errors import CheckpointError

FORMAT = 2
WEIGHTS, CONFIG, STATE = "model.safetensors", "config.json", "training_state"
_PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt")


def write(folder: Path, weights: Mapping[str, Tensor], config: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """Write a policy folder; the one that was there is replaced at the end, in one step.

    Args:
        folder: Where.
        weights: Name → tensor.
        config: What makes the network again; `format` and digests of all that is written are added.
        files: Other files' names → texts.

    Raises:
        CheckpointError: When it cannot be written, or a weight is no finite number.
    """
    odd = [name for name, tensor in weights.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if odd:
        raise CheckpointError(f"'{folder}' is not written: {len(odd)} tensors, such as {odd[0]}, hold NaN or infinity.")
    blob = save({name: tensor.detach().contiguous().cpu() for name, tensor in weights.items()})
    bodies = {WEIGHTS: blob, **{name: body.encode() for name, body in files.items()}}
    digests = {name: hashlib.sha256(body).hexdigest() for name, body in bodies.items()}
    own = {"format": FORMAT, **json.loads(json.dumps(config)), "sha256": digests.pop(WEIGHTS), "files": digests}
    publish(folder, {CONFIG: (json.dumps({**own, "digest": _digest(own)}, indent=1) + "\n").encode(), **bodies})


def publish(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put a folder with these files into its place in one step.

    Raises:
        CheckpointError: When it cannot be written; what was there stays.
    """
    new, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        for name, body in files.items():
            with (new / name).open("wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
        if folder.exists():
            if any(folder.iterdir()) and not (folder / CONFIG).exists():
                raise CheckpointError(
                    f"'{folder}' holds something else than a policy, and is left as it is. Use another --out."
                )
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        new.rename(folder)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise CheckpointError(
            f"'{folder}' cannot be written: {error.strerror or error}. Free some space or choose another folder; what was there is kept."
        ) from error
    shutil.rmtree(old, ignore_errors=True)


def exists(folder: Path) -> bool:
    """Return whether there is such a folder; see `_standing`."""
    return _standing(folder).exists()


def _standing(folder: Path) -> Path:
    """Return where a folder is: when its writer is between its two renames, or was killed there, what was there before still is."""
    old = folder.with_name(f".{folder.name}.old")
    return old if not folder.exists() and old.exists() else folder


def _digest(config: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def read_config(folder: Path) -> dict[str, Any]:
    """Return config.json of a policy folder.

    Raises:
        CheckpointError: When the folder holds no policy of this format.
    """
    if folder.suffix in _PICKLES or (folder.is_dir() and not (folder / CONFIG).exists() and _pickles(folder)):
        raise CheckpointError(
            f"'{folder}' is a pickle, which can run any code when it is read. Policies are folders with {WEIGHTS} and {CONFIG}."
        )
    folder = _standing(folder)
    try:
        value = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"'{folder}' is no policy folder: {CONFIG} cannot be read ({error.strerror}). Give the folder that `trainer sft` wrote."
        ) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"'{folder / CONFIG}' is damaged: {error}. Copy the folder again.") from error
    found = value.get("format") if isinstance(value, dict) else None
    if found != FORMAT:
        advice = "Train it again" if isinstance(found, int) and found < FORMAT else "Update trainer"
        raise CheckpointError(f"'{folder / CONFIG}' has format {found!r}; this version reads {FORMAT}. {advice}.")
    if {"files", "digest"} & value.keys() and value.pop("digest", None) != _digest(value):
        raise CheckpointError(f"'{folder / CONFIG}' is not what it was when it was written. Copy the folder again.")
    return dict(value)


def read_file(folder: Path, name: str, config: Mapping[str, Any]) -> str:
    """Return the text of another file of a policy folder.

    Raises:
        CheckpointError: When it is missing, or not what config.json was written with.
    """
    _, body = _checked(folder, name, config.get("files", {}).get(name, ""))
    return body.decode("utf-8", errors="replace")


def read_weights(folder: Path, digest: str) -> dict[str, Tensor]:
    """Return the weights of a policy folder.

    Raises:
        CheckpointError: When they are missing, cut, or not those that config.json was written with.
    """
    path, blob = _checked(folder, WEIGHTS, digest or "none")
    try:
        return load(blob)
    except SafetensorError as error:
        raise CheckpointError(f"'{path}' holds no weights: {error}. Copy the folder again.") from error


def _checked(folder: Path, name: str, digest: str) -> tuple[Path, bytes]:
    """Return where a file of a policy folder is and what it holds; without a digest, as older folders have none, whatever that is."""
    path = _standing(folder) / name
    try:
        body = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"'{path}' cannot be read: {error.strerror}. Copy the folder again.") from error
    if digest and hashlib.sha256(body).hexdigest() != digest:
        raise CheckpointError(
            f"'{path}' ({len(body)} bytes) is not what it was when it was written. Copy the folder again."
        )
    return path, body


def fill(net: nn.Module, weights: Mapping[str, Tensor], where: Path) -> None:
    """Put weights into a network.

    Raises:
        CheckpointError: When they are another network's.
    """
    own = net.state_dict()
    wrong = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}" if name in weights else f"no {name}"
        for name in own
        if name not in weights or weights[name].shape != own[name].shape
    ] + [f"surplus {name}" for name in weights if name not in own]
    if wrong:
        shown = "; ".join(wrong[:3]) + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        raise CheckpointError(f"'{where}' holds the weights of another network: {shown}.")
    net.load_state_dict(dict(weights))


def _pickles(folder: Path) -> bool:
    return any(path.suffix in _PICKLES for path in folder.iterdir())


# --- training that goes on ----------------------------------------------------------------------------------------------------


def save_training(
    folder: Path,
    net: nn.Module,
    optimiser: torch.optim.Optimizer,
    numbers: Mapping[str, Any],
    **others: Mapping[str, Tensor],
) -> None:
    """Write all that training needs to go on: weights, the optimiser's moments, and numbers such as the step, from which all randomness follows."""
    tensors = {f"net.{name}": value for name, value in net.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    for group, values in others.items():
        tensors |= {f"{group}.{name}": value for name, value in values.items()}
    write(folder, tensors, {"kind": STATE, "numbers": dict(numbers)}, {})


def load_training(
    folder: Path, net: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """Put back what `save_training` wrote; return its numbers and the other groups of tensors.

    Raises:
        CheckpointError: When it is damaged, of another network, or no training state.
    """
    config = read_config(folder)
    if config.get("kind") != STATE:
        raise CheckpointError(f"'{folder}' holds a {config.get('kind')!r}, no state of a training. Use another --out.")
    groups: dict[str, dict[str, Tensor]] = {}
    for name, value in read_weights(folder, config.get("sha256", "")).items():
        group, rest = name.split(".", 1)
        groups.setdefault(group, {})[rest] = value
    fill(net, groups.pop("net", {}), folder)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in groups.pop("optimiser", {}).items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return dict(config["numbers"]), groups

"""The base that comes with the package: it loads, is small, and fits what demonstrations show by default."""

from __future__ import annotations

from trainer.config import Demos
from trainer.policies.store import load_policy, new_policy, policy_folder
from trainer.records import Interface

from .handmade import observations


def test_the_shipped_base_fits_the_defaults() -> None:
    base = load_policy(policy_folder("shipped"))
    assert base.kind == "base"
    assert base.interface == Interface(size=Demos().size, cameras=Demos().cameras)
    card = (policy_folder("shipped") / "README.md").read_text()
    assert all(word in card for word in ("pre-training", "unseen-objects", "off_mm"))


def test_it_is_small_enough_for_a_package() -> None:
    assert sum(path.stat().st_size for path in policy_folder("shipped").iterdir()) <= 10e6


def test_policies_begin_with_its_sight() -> None:
    base = load_policy(policy_folder("shipped"))
    seen = base.interface
    shown = observations(2)
    shown.images["policy"] = shown.images["policy"].repeat(3, axis=1).repeat(3, axis=2)
    assert shown.images["policy"].shape[1:3] == (seen.size, seen.size)
    for kind in ("flow", "token"):
        policy = new_policy(kind, seen, base).eval()
        found, wanted = (net.remember(net.inputs(shown)) for net in (policy, base))
        assert (found.tokens == wanted.tokens).all()

"""A critic: knows nothing at first, learns what there is to learn, and is not thrown off by what falls off the table."""

from __future__ import annotations

import torch

from trainer.policies.critic import Critic


def rows(count: int) -> torch.Tensor:
    scale = torch.tensor([0.01, 1.0, 30.0, 0.0])
    return torch.randn(count, 4) * scale + torch.tensor([5.0, 0.0, -7.0, 2.0])


def test_nothing_is_known_at_first() -> None:
    assert not Critic(4)(rows(5)).any()


def test_it_learns_whatever_the_units() -> None:
    torch.manual_seed(0)
    data = rows(512)
    worth = 100 * (data[:, 0] - 5) + data[:, 2] / 30
    critic = Critic(4, 64)
    critic.fit(data)
    optimiser = torch.optim.Adam(critic.parameters(), 3e-3)
    for _ in range(300):
        loss = ((critic(data) - worth) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.1 * float(worth.var())


def test_what_is_far_off_stays_finite_and_what_was_fitted_is_kept() -> None:
    critic = Critic(4, 32)
    critic.fit(rows(100))
    again = Critic(4, 32)
    again.load_state_dict(critic.state_dict())
    torch.nn.init.ones_(critic.net[-1].weight)
    far = rows(3)
    far[0] = 1e9
    assert critic(far).isfinite().all()
    assert torch.equal(again.std, critic.std)
    assert float(critic.std[3]) > 0

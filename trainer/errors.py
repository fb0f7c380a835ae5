"""Errors a user can cause. The CLI prints one as a line and exits 1; anything else is a bug and shows its trace."""

from __future__ import annotations


class TrainerError(Exception):
    """Root of all errors of the trainer."""


class DatasetError(TrainerError):
    """A dataset that is damaged, incomplete, or of another robot, rate, action space or camera."""


class CheckpointError(TrainerError):
    """A policy folder that is damaged, of another policy, or cannot be written."""


class RunError(TrainerError):
    """Settings that make no sense together, or a library that lacks what was asked for."""

"""Saved replies of language models: replay them without a network, or save them so that no reply is paid for twice.

A reply is one JSON file, named by the digest of all that the model was shown.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from .. import store
from ..errors import DesignError, StoreError
from ..shapes import Strict
from ..wire import Brief, Budget, DeclinedError, Draft, Drafter, DrafterSettings, Usage


class SavedReply(Strict):
    """One reply as it lies on disk."""

    digest: str
    asked: str
    """Model that was asked for."""
    model: str
    """Model that answered."""
    reply: str
    truncated: bool
    tokens_in: int
    tokens_out: int
    temperature: float | None = None
    """Sampling temperature that was asked for."""
    declined: str = ""
    """Why the model would not answer; empty where it did."""

    def draft(self) -> Draft:
        """Return it, or decline, as a backend would."""
        if self.declined:
            raise DeclinedError(self.declined, self.model, Usage(self.tokens_in, self.tokens_out))
        return Draft(self.reply, self.model, Usage(self.tokens_in, self.tokens_out), self.truncated)


def reply_file(folder: Path, digest: str) -> Path:
    """Return where the reply to a digest lies."""
    return folder / f"{digest}.json"


def load_reply(folder: Path, digest: str) -> SavedReply | None:
    """Return a saved reply, or None where there is none.

    Raises:
        DesignError: When the file is there but damaged.
    """
    file = reply_file(folder, digest)
    if not file.is_file():
        return None
    try:
        saved = SavedReply.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise DesignError(f"{file} is no saved reply: {error.error_count()} field(s) are wrong. Delete it.") from None
    if saved.digest != digest:
        raise DesignError(f"{file} holds the reply to {saved.digest}. Delete it, or give it its own name back.")
    return saved


def save_reply(folder: Path, saved: SavedReply) -> None:
    """Write a reply so that a reader sees all of it or nothing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"'{folder}' cannot be made: {error.strerror or error}. Choose another folder.") from None
    store.write_file(reply_file(folder, saved.digest), saved.model_dump_json(indent=1) + "\n")


class RecordedDrafter:
    """Replays the replies in `settings.replies`."""

    name = "recorded"
    model = ""

    def __init__(self, settings: DrafterSettings) -> None:
        if settings.replies is None:
            raise DesignError("The backend 'recorded' reads saved replies. Give their folder in 'replies'.")
        self.folder = settings.replies

    def draft(self, brief: Brief, budget: Budget) -> Draft:
        """Return the saved reply to the brief; costs nothing."""
        del budget
        digest = brief.digest()
        saved = load_reply(self.folder, digest)
        if saved is None:
            raise DesignError(
                f"No reply {digest} in {self.folder}. Record it with the backend 'openai' and the same request, seed, "
                "split, robot, prompts and vocabulary."
            )
        return saved.draft()


class Recording:
    """Another backend whose replies are saved, and asked for only where none is saved yet."""

    def __init__(self, inner: Drafter, folder: Path, temperature: float | None = None) -> None:
        self.inner, self.folder, self.temperature = inner, folder, temperature
        self.name, self.model = inner.name, inner.model

    def draft(self, brief: Brief, budget: Budget) -> Draft:
        """Return the saved reply of the same model at the same temperature, else ask for one, pay and save it.

        Raises:
            DeclinedError: When the model will not, now or in the saved reply.
        """
        digest = brief.digest()
        saved = load_reply(self.folder, digest)
        if saved is not None and (saved.asked, saved.temperature) == (self.inner.model, self.temperature):
            return saved.draft()
        try:
            draft, declined = self.inner.draft(brief, budget), ""
        except DeclinedError as error:
            draft, declined = Draft("", error.model, error.usage), str(error)
        saved = SavedReply(
            digest=digest,
            asked=self.inner.model,
            model=draft.model,
            reply=draft.text,
            truncated=draft.truncated,
            tokens_in=draft.usage.tokens_in,
            tokens_out=draft.usage.tokens_out,
            temperature=self.temperature,
            declined=declined,
        )
        save_reply(self.folder, saved)
        return saved.draft()

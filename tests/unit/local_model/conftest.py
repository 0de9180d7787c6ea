"""The real model, loaded once: every test here runs on the installed weights."""

from pathlib import Path

import pytest

from eventstream.llm.local import LocalModel


@pytest.fixture(scope="session")
def model() -> LocalModel:
    return LocalModel.load(None)


@pytest.fixture(scope="session")
def texts() -> Path:
    """The folder of labelled texts."""
    return Path(__file__).parents[2] / "data" / "local_model"

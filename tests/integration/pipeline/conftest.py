"""The mock provider's fixtures, for tests of the pipeline."""

from tests.providers.conftest import aimock, aimock_server, make_models

__all__ = ["aimock", "aimock_server", "make_models"]

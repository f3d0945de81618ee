"""What the tests share."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from service import Service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A running instance over a file of its own."""
    service = Service(tmp_path)
    service.start()
    yield service
    if service.process is not None:
        service.stop(signal.SIGKILL)

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sbc.service.paths import database_to_read, state_directory


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/sbc:/x", "HOME": "/h"}, "/var/lib/sbc"),
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/sbc"),
        ({"HOME": "/h"}, "/h/.local/state/sbc"),
    ],
)
def test_where_state_goes_if_nobody_says(environ: dict[str, str], expected: str) -> None:
    assert state_directory(environ)[0] == Path(expected)


def test_the_reader_takes_the_database_that_was_written_last(tmp_path: Path) -> None:
    environ, system = {"STATE_DIRECTORY": str(tmp_path / "own")}, tmp_path / "system"
    own_file, system_file = tmp_path / "own/calls.sqlite", system / "calls.sqlite"
    assert database_to_read(environ, system) == own_file, "neither is there: complain about one's own"
    for number, file in enumerate((own_file, system_file)):
        file.parent.mkdir()
        file.touch()
        os.utime(file, (100 + number, 100 + number))
    assert database_to_read(environ, system) == system_file
    log = own_file.with_name("calls.sqlite-wal")  # what is new stands here until a checkpoint
    log.touch()
    os.utime(log, (200, 200))
    assert database_to_read(environ, system) == own_file

from __future__ import annotations

from sbc.service.models import Calls, Document, Media, Records, Sip, Tcp, keys_of, table_at
from sbc.service.values import port_range


def test_the_table_at_a_path_is_known() -> None:
    assert table_at(()) is Document
    assert table_at(("sip", "tcp")) is Tcp
    assert keys_of(table_at(("routes", 3)) or Document)[:2] == ["from", "number"]
    assert table_at(("zones",)) is None, "zones have any names"
    assert table_at(("sip", "t1")) is None
    assert table_at(("nonsense", "here")) is None


def test_defaults_that_come_from_nowhere_else_are_sound() -> None:
    """pydantic does not check defaults."""
    for table in (Sip(), Tcp(), Calls(), Media(), Records()):
        assert type(table).model_validate(table.model_dump()) == table
    assert port_range(Media().ports) == (20000, 29999)

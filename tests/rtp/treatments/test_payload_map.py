from __future__ import annotations

import pytest

from sbc.rtp import payload_table


def test_the_marker_stays_and_the_number_changes():
    table = payload_table([(101, 96), (96, 97)])
    assert (table[101], table[0x80 | 101]) == (96, 0x80 | 96)
    assert (table[96], table[0x80 | 96]) == (97, 0x80 | 97)
    assert [table[n] for n in (0, 8, 0x80, 127)] == [0, 8, 0x80, 127]


@pytest.mark.parametrize("pair", [(128, 0), (0, 128), (-1, 0), (0, -1)])
def test_what_is_no_payload_number_is_refused(pair):
    with pytest.raises(ValueError, match="payload number"):
        payload_table([pair])

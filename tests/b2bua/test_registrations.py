"""The table of who is registered."""

from __future__ import annotations

from sbc.b2bua.registrations import Binding, Device, Registrations, restore
from sbc.sip import Address, Hop

HERE = Address("192.0.2.1", 5060)
AOR = "alice@example.com"


def flow(port: int, connection: int | None = None) -> Hop:
    return Hop("public", "UDP" if connection is None else "TCP", HERE, Address("198.51.100.7", port), connection)


def bind(table: Registrations, name: str, hop: Hop, until: float, reg_id: int = 0) -> Binding:
    device = table.device(AOR, name)
    device.inside_until = 3600.0
    binding = Binding(device, reg_id, "to", "<sip:a@b>;q=1", "<sip:a@b>", hop, "call", 1, until, 60)
    table.bind(binding)
    return binding


def test_a_device_is_found_by_token_user_and_flow() -> None:
    table = Registrations(b"key")
    binding = bind(table, "desk", flow(1), 100.0)
    assert table.by_token(binding.token) is binding.device
    assert list(table.by_aor(AOR)) == [binding.device]
    assert list(table.over(flow(1))) == [binding]
    assert table.counts() == (1, 1)


def test_tokens_are_the_same_after_a_restart_and_for_nobody_else() -> None:
    token = Registrations(b"key").device(AOR, "desk").token
    assert Registrations(b"key").device(AOR, "desk").token == token
    assert Registrations(b"other").device(AOR, "desk").token != token
    assert Registrations(b"key").device(AOR, "mobile").token != token


def test_a_binding_takes_the_place_of_the_one_of_its_key() -> None:
    table = Registrations()
    bind(table, "desk", flow(1), 100.0)
    newer = bind(table, "desk", flow(2), 100.0)
    assert table.over(flow(1)) == []
    assert list(table.over(flow(2))) == [newer]
    assert table.counts() == (1, 1)


def test_two_flows_of_a_device_stand_beside_each_other() -> None:
    table = Registrations()
    bind(table, "desk", flow(1), 100.0, 1)
    bind(table, "desk", flow(2), 100.0, 2)
    assert table.counts() == (1, 2)


def test_flows_end_when_they_are_not_refreshed_and_devices_when_the_registrar_says_so() -> None:
    table = Registrations()
    binding = bind(table, "desk", flow(1), 100.0)
    table.refresh(binding, 160.0)
    assert table.expire(120.0) == ([], [])
    assert table.expire(160.0) == ([binding], [])
    assert list(table.by_aor(AOR)) == [binding.device]
    assert table.expire(3600.0) == ([], [binding.device])
    assert table.counts() == (0, 0)
    assert table.next() is None


def test_a_flow_that_ends_earlier_ends_in_time() -> None:
    table = Registrations()
    binding = bind(table, "desk", flow(1), 1000.0)
    table.refresh(binding, 50.0)
    assert table.expire(50.0) == ([binding], [])


def test_refreshes_cost_no_memory() -> None:
    table = Registrations()
    for _ in range(1000):
        bind(table, "desk", flow(1), 1000.0)
    assert sum(len(second.held) for second in table._seconds.values()) <= 70


def test_what_was_written_down_comes_back_with_time_to_show_itself() -> None:
    table, restarted = Registrations(b"key"), Registrations(b"key")
    binding = bind(table, "desk", flow(1), 100.0)
    over_tcp = bind(table, "mobile", flow(2, 9), 100.0)
    for record in (binding.record(), over_tcp.record()):
        restore(restarted, record, 50.0, 70.0)
    (back,) = restarted.over(flow(1))
    assert (back.token, back.contact, back.until, back.device.inside_until) == (binding.token, "sip:a@b", 120.0, 3600.0)
    assert restarted.over(flow(2, 9)) == [], "the stream is gone"
    assert restarted.by_token(over_tcp.token) is not None, "the device is not"


def test_what_is_over_or_of_another_key_does_not_come_back() -> None:
    table = Registrations(b"key")
    record = bind(table, "desk", flow(1), 100.0).record()
    for restarted, now in ((Registrations(b"key"), 4000.0), (Registrations(b"other"), 50.0)):
        restore(restarted, record, now, 70.0)
        assert restarted.counts() == (0, 0)


def test_a_device_that_nobody_has_bound_is_not_in_the_table() -> None:
    table = Registrations()
    assert isinstance(table.device(AOR, "desk"), Device)
    assert table.counts() == (0, 0)
    table.unbind(Binding(table.device(AOR, "desk"), 0, "", "", "", flow(1), "", 1, 1.0))
    assert table.counts() == (0, 0)


def test_of_several_flows_the_one_that_the_registrar_saw_last_says_how_long_the_device_lasts() -> None:
    former = Registrations(b"key")
    first, second = (bind(former, "desk", flow(number), 100.0, number) for number in (1, 2))
    times = {"token": first.token, "inside_granted": 3600}
    records = [
        first.record()._replace(**times, checked=10.0, inside_until=3610.0),
        second.record()._replace(**{**times, "inside_granted": 600}, checked=20.0, inside_until=620.0),
    ]
    for order in (records, records[::-1]):
        restarted = Registrations(b"key")
        for record in order:
            restore(restarted, record, 50.0, 70.0)
        (device,) = restarted.by_aor(AOR)
        assert (device.granted_until, device.inside_until, len(device.flows)) == (620.0, 620.0, 2)


def test_what_thousands_have_in_common_is_held_once_also_after_a_restart() -> None:
    table = Registrations(b"key")
    for port in (1, 2):
        device = table.device(f"user{port}@example.com", "desk")
        device.inside_until = 3600.0
        agent = table.same("Phone/" + str(1.0))
        table.bind(Binding(device, 0, "", "<sip:a@b>", "<sip:a@b>", flow(port), "c", 1, 100.0, 60, agent))
    records = [binding.record() for port in (1, 2) for binding in table.over(flow(port))]
    assert records[0].user_agent is records[1].user_agent
    restarted = Registrations(b"key")
    for record in records:
        there = Hop("pub" + "lic"[:3], "UDP", Address(*HERE), Address("198.51.100." + str(7), record.hop.remote.port))
        restore(restarted, record._replace(hop=there, user_agent="Phone/" + str(1.0)), 50.0, 70.0)
    first, second = (binding for port in (1, 2) for binding in restarted.over(flow(port)))
    assert first.user_agent is second.user_agent
    assert first.hop.local is second.hop.local
    assert first.hop.remote.host is second.hop.remote.host


def test_what_is_held_once_is_bounded() -> None:
    table = Registrations()
    for number in range(5000):
        assert table.same(f"agent {number}") == f"agent {number}"
    assert len(table.same._values) <= 1024


def test_a_flow_that_many_have_keeps_them_all() -> None:
    table = Registrations()
    bound = [bind(table, f"desk {number}", flow(1), 100.0 + number) for number in range(20)]
    assert list(table.over(flow(1))) == bound
    table.unbind(bound[3])
    assert table.remove(bound[4].device) == [bound[4]]
    assert list(table.over(flow(1))) == bound[:3] + bound[5:]
    assert table.expire(119.0) == (bound[:3] + bound[5:], [])
    assert table.over(flow(1)) == []


def test_what_ends_within_a_second_ends_in_its_turn() -> None:
    table = Registrations()
    early, late = bind(table, "desk", flow(1), 100.2), bind(table, "mobile", flow(2), 100.8)
    assert table.next() == 100
    assert table.expire(100.1) == ([], [])
    assert table.expire(100.5) == ([early], [])
    assert table.next() == 100
    assert table.expire(100.8) == ([late], [])

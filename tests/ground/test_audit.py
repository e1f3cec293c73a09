"""The audit log: one chain per workspace; any edit, removal, insertion or reordering is found."""

import asyncio
import random

import msgspec
import pytest
import sqlalchemy as sa

from genwright import audit
from genwright.audit import Anchor, Audit
from genwright.errors import Conflict
from genwright.vocab import Scope, digest

EVENTS = 40


@pytest.fixture
async def log(databases, scope):
    database = databases["registry"]
    for number in range(EVENTS):
        await database.write(
            audit.write, scope, "mona", "registry.put", f"prompt:p{number}", {"n": number, "text": "ä", "x": 0.1}
        )
    await database.write(audit.write, Scope("other"), "eve", "registry.put", "prompt:secret", {})
    return Audit(database)


async def change(databases, *statements):
    def run(connection):
        for statement in statements:
            connection.execute(statement)

    await databases["registry"].write(run)


def row(number):
    return sa.and_(audit.events.c.workspace == "default", audit.events.c.number == number)


async def test_a_whole_chain_verifies(log, scope):
    found = await log.verify(scope)
    assert (found.sound, found.checked, found.head.number) == (True, EVENTS, EVENTS)


async def test_a_list_shows_only_the_own_workspace(log, scope):
    events = await log.list(scope, limit=500)
    assert [event.number for event in events] == list(range(EVENTS, 0, -1))
    assert events[0].details == {"n": EVENTS - 1, "text": "ä", "x": 0.1}
    assert [event.target for event in await log.list(Scope("other"))] == ["prompt:secret"]
    assert await log.list(Scope("third")) == []
    assert [event.number for event in await log.list(scope, before=3)] == [2, 1]
    assert [event.number for event in await log.list(scope, target="prompt:p4")] == [5]
    assert await log.list(scope, by="nobody") == []


FIELDS = {
    "project": "x", "at_ns": 5, "actor": "eve", "action": "registry.get", "target": "prompt:other", "details": {"n": 99},
    "previous": "sha256:" + "1" * 64, "digest": "sha256:" + "2" * 64,
}  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
async def test_an_edit_of_any_field_is_found(log, databases, scope, field):
    number = random.Random(field).randint(1, EVENTS)
    await change(databases, audit.events.update().where(row(number)).values({field: FIELDS[field]}))
    found = await log.verify(scope)
    assert not found.sound
    assert found.broken_at in (number, number + 1)
    assert (await log.verify(Scope("other"))).sound


@pytest.mark.parametrize("number", [1, 2, 20, EVENTS - 1, EVENTS])
async def test_a_removal_is_found(log, databases, scope, number):
    await change(databases, audit.events.delete().where(row(number)))
    assert not (await log.verify(scope)).sound


@pytest.mark.parametrize(("one", "other"), [(1, 2), (7, 30), (EVENTS - 1, EVENTS)])
async def test_a_reordering_is_found(log, databases, scope, one, other):
    events = audit.events
    await change(
        databases,
        events.update().where(row(one)).values(number=10_000),
        events.update().where(row(other)).values(number=one),
        events.update().where(row(10_000)).values(number=other),
    )
    assert not (await log.verify(scope)).sound


async def test_moving_events_to_another_workspace_is_found(log, databases, scope):
    await change(databases, audit.events.update().where(row(EVENTS)).values(workspace="third"))
    assert not (await log.verify(scope)).sound
    assert not (await log.verify(Scope("third"))).sound


async def test_a_rebuilt_chain_shows_against_an_anchor(log, databases, scope):
    noted = (await log.verify(scope)).head
    await change(databases, audit.events.delete().where(audit.events.c.workspace == "default"))
    await change(databases, audit.heads.delete().where(audit.heads.c.workspace == "default"))
    for number in range(EVENTS):
        await databases["registry"].write(audit.write, scope, "mona", "registry.put", f"prompt:q{number}", {})
    assert (await log.verify(scope)).sound
    assert not (await log.verify(scope, (noted,))).sound
    assert not (await log.verify(scope, (Anchor(EVENTS + 1, noted.digest),))).sound


async def test_an_event_added_behind_the_head_is_found(log, databases, scope):
    last = (await log.list(scope, limit=1))[0]
    fields = {**msgspec.structs.asdict(last), "number": last.number + 1, "previous": last.digest}
    del fields["digest"]
    values = {**fields, "actor": fields["by"], "digest": digest(fields)}
    del values["by"]
    await change(databases, audit.events.insert().values(values))
    assert not (await log.verify(scope)).sound


async def test_verifying_while_others_write(log, databases, scope):
    database = databases["registry"]
    writes = [database.write(audit.write, scope, f"w{n}", "a.b", "t", {}) for n in range(200)]
    *verdicts, _ = await asyncio.gather(*(log.verify(scope) for _ in range(20)), asyncio.gather(*writes))
    assert [verdict.reason for verdict in verdicts if not verdict.sound] == []


async def test_the_event_goes_with_its_change(databases, scope):
    def fails(connection):
        audit.write(connection, scope, "mona", "registry.put", "prompt:p", {})
        raise Conflict("no")

    with pytest.raises(Conflict):
        await databases["registry"].write(fails)
    assert await Audit(databases["registry"]).list(scope) == []


async def test_writers_at_once_make_one_chain(databases, scope):
    database = databases["registry"]
    await asyncio.gather(*(database.write(audit.write, scope, f"w{n}", "a.b", "t", {}) for n in range(64)))
    found = await Audit(database).verify(scope)
    assert (found.sound, found.checked) == (True, 64)

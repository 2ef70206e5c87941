"""vectors/office.json and vectors/urgent.json: rules, signed documents and reports, made and read as they say."""

from __future__ import annotations

import msgspec
import pytest

from rapport_protocol.ids import AccountId, DeviceId
from rapport_protocol.office.document import OfficeDocument
from rapport_protocol.office.hours import OfficeHours
from rapport_protocol.signed import SigningKey
from rapport_protocol.urgent import CoverAsked, Report
from tests.vector_files import Case, case_name, cases, plain, raw, verdict


@pytest.mark.parametrize("case", cases("office", "hours"), ids=case_name)
def test_hours(case: Case) -> None:
    (encoded,) = raw(case, "messagepack")
    if "verdict" in case:
        assert verdict(lambda: OfficeHours.parse(encoded)) == case["verdict"]
        return
    hours = OfficeHours.parse(encoded)
    assert plain(msgspec.to_builtins(hours, builtin_types=[bytes])) == case["fields"]
    assert case.get("again") is False or hours.encode() == encoded


@pytest.mark.parametrize("case", cases("office", "document"), ids=case_name)
def test_documents(case: Case) -> None:
    seed, account, device, rules, encoded, public = raw(case, "seed", "account", "device", "rules", "encoded", "public")
    document = OfficeDocument.make(
        AccountId(account),
        DeviceId(device),
        SigningKey(seed),
        OfficeHours.parse(rules),
        version=case["version"],
        issued_ms=case["issued_ms"],
        life_ms=case["valid_until_ms"] - case["issued_ms"],
    )
    assert document.encode() == encoded
    assert OfficeDocument.parse(encoded) == document
    document.check(public)


@pytest.mark.parametrize("case", cases("office", "check"), ids=case_name)
def test_documents_that_are_refused(case: Case) -> None:
    encoded, public = raw(case, "encoded", "public")
    assert verdict(lambda: OfficeDocument.parse(encoded).check(public)) == case["verdict"]


@pytest.mark.parametrize("case", cases("urgent"), ids=case_name)
def test_reports(case: Case) -> None:
    (encoded,) = raw(case, "encoded")
    kind = Report if case["kind"] == "report" else CoverAsked
    if "verdict" in case:
        assert verdict(lambda: kind.parse(encoded)) == case["verdict"]
        return
    told = kind.parse(encoded)
    assert told.encode() == encoded
    assert plain(told) == {name: case[name] for name in told.__struct_fields__}

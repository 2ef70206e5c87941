"""The people of the vectors: a therapist with four devices, and others with one each."""

from __future__ import annotations

from dataclasses import dataclass, field

from minting.base import T0, Stream
from rapport.crypto.identity import DeviceSecrets, first_list, new_account, next_list
from rapport_protocol.device_lists import IDENTITY_KEY, SignedDeviceList
from rapport_protocol.ids import AccountId, DeviceId
from rapport_protocol.signed import SigningKey

__all__ = ["ANN", "BEN", "CARL", "CROWD", "DANA", "Person", "lookup"]


@dataclass
class Person:
    """An account with its secrets and the device lists it has published."""

    name: str
    account: AccountId = field(init=False)
    aik: SigningKey = field(init=False)
    devices: list[DeviceSecrets] = field(init=False)
    lists: list[SignedDeviceList] = field(init=False)

    def __post_init__(self) -> None:
        random = Stream(self.name)
        self.account, self.aik = new_account(random)
        self.devices = [DeviceSecrets.make(self.account, self.aik.public, random, T0 + n) for n in range(4)]
        self.lists = [first_list(self.devices[0], self.aik, T0 + 10)]

    def signer(self, at: int) -> tuple[DeviceId, SigningKey]:
        """A device as signer of lists."""
        return self.devices[at].device, self.devices[at].signing_key()

    def publish(self, add: tuple[int, ...] = (), remove: tuple[int, ...] = (), by: int | None = None) -> None:
        """Append a list that adds and revokes devices by number, signed by a device or (None) by AIK."""
        head = self.lists[-1]
        entries = tuple(self.devices[n].entry() for n in add)
        gone = tuple(self.devices[n].device for n in remove)
        signer = (IDENTITY_KEY, self.aik) if by is None else self.signer(by)
        self.lists.append(next_list(head, entries, gone, signer, T0 + 10 * (head.version + 1)))


DANA = Person("Dana")
DANA.publish(add=(1,), by=0)
DANA.publish(add=(2,), by=1)
DANA.publish(remove=(1,), by=0)
BEN = Person("Ben")
ANN = Person("Ann")
CARL = Person("Carl")
CROWD = [Person(f"Client {n}") for n in range(19)]


def lookup(account: AccountId, version: int) -> SignedDeviceList | None:
    """Any published list of the cast."""
    for person in (DANA, BEN, ANN, CARL, *CROWD):
        if person.account == account:
            return next((held for held in person.lists if held.version == version), None)
    return None

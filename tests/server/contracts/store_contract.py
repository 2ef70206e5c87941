"""The contract of the Store port, to be run against every adapter.

A subclass brings two fixtures: `world`, around a started store, and `small`, around one whose queue holds 64 jobs.
"""

from tests.server.contracts.call_contract import CallContract
from tests.server.contracts.conversation_contract import ConversationContract, TimerContract
from tests.server.contracts.delivery_contract import AcknowledgementContract, StreamContract
from tests.server.contracts.directory_contract import DeviceListContract, PrekeyContract, RegistrationContract
from tests.server.contracts.dormancy_contract import DormancyContract
from tests.server.contracts.history_contract import AgeingContract, ArchiveContract
from tests.server.contracts.isolation_contract import IsolationContract
from tests.server.contracts.link_contract import LinkContract
from tests.server.contracts.mailbox_contract import BlockingContract, DirectContract, PostContract
from tests.server.contracts.meeting_contract import AppointmentContract, RoomContract, RoomLinkContract
from tests.server.contracts.notifying_contract import PushContract, WebhookContract
from tests.server.contracts.office_contract import OfficeContract
from tests.server.contracts.urgent_contract import UrgentContract

__all__ = ["SMALL_QUEUE", "StoreContract"]

SMALL_QUEUE = 64
"""Queue limit of the `small` world's store."""


class StoreContract(
    RegistrationContract,
    DeviceListContract,
    PrekeyContract,
    ConversationContract,
    LinkContract,
    PushContract,
    WebhookContract,
    OfficeContract,
    DormancyContract,
    TimerContract,
    PostContract,
    BlockingContract,
    DirectContract,
    AcknowledgementContract,
    StreamContract,
    ArchiveContract,
    AgeingContract,
    IsolationContract,
    UrgentContract,
    AppointmentContract,
    RoomContract,
    RoomLinkContract,
    CallContract,
):
    """Everything a store promises."""

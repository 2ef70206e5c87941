"""The Python SDK: an end-to-end encrypted Rapport client for asyncio programs.

import rapport

await rapport.join(link, vault=Path("kim"), name="Kim")
async with rapport.Client(vault=Path("kim")) as client:
    conversation = client.conversations()[0]
    await conversation.send_text("Hello")
    async for event in client.events():
        ...
"""

from rapport.agreements import (
    AutomaticAnswer,
    Card,
    CardChanged,
    CardLine,
    Kept,
    OfficeChanged,
    OfficeShown,
    OwnOffice,
    PromiseChanged,
    Promised,
    Urgency,
    UrgencyChanged,
    UrgentElsewhere,
    Waiting,
)
from rapport.appointments import Appointments
from rapport.client import Client
from rapport.conversation import Conversation
from rapport.covers import CoverSide, CoverStage, CoverState
from rapport.engine.listeners import EventsUnread
from rapport.engine.registration import InviteMismatch
from rapport.events import (
    CaughtUp,
    ConnectionChanged,
    Contact,
    ConversationChanged,
    CoverChanged,
    Device,
    DevicesChanged,
    Event,
    IdentityChanged,
    LogEntry,
    Member,
    MemberJoined,
    Message,
    MessageChanged,
    MessageKind,
    MessageReceived,
    MessageRemoved,
    MessageStatus,
    Placeholder,
    PlaceholderReason,
    PlaceholderRemoved,
    PresenceChanged,
    PresenceState,
    ProfileChanged,
    SecurityEvent,
    SecurityKind,
    SettingChanged,
    SignedOut,
    Status,
    StorageProblem,
    Typing,
    VerificationChanged,
)
from rapport.joining import join
from rapport.linking import DeviceLinking, LinkOffer, LinkProblem, LinkTrouble, link_device
from rapport.meeting import (
    Admitted,
    Appointment,
    AppointmentChanged,
    AppointmentRefused,
    AppointmentReminder,
    AppointmentSaid,
    Room,
    RoomChanged,
    RoomPerson,
    RoomWord,
)
from rapport.office import Offices
from rapport.ports import Unreachable, VaultLocked, VaultProblem
from rapport.presence import Presence
from rapport.waiting_room import Place, WaitingRoom
from rapport_protocol.connection import ConnectionState, Reason
from rapport_protocol.errors import ErrorCode, FormatError, LocalError, RapportError, Rejected, RemoteError
from rapport_protocol.ids import AccountId, AppointmentId, ConversationId, DeviceId, MessageId
from rapport_protocol.meeting import Modality, Outcome
from rapport_protocol.office.hours import (
    AnswerRow,
    ByTable,
    DateWindows,
    Leave,
    OfficeHours,
    Override,
    OverrideState,
    PushClosed,
    WeeklyWindow,
    Window,
    WithinOpenTime,
)
from rapport_protocol.office.rules import HoursRefused
from rapport_protocol.office.status import OfficeState, OfficeStatus
from rapport_protocol.requests import Role
from rapport_protocol.rooms.states import DoorState, PersonState

__all__ = [
    "AccountId",
    "Admitted",
    "AnswerRow",
    "Appointment",
    "AppointmentChanged",
    "AppointmentId",
    "AppointmentRefused",
    "AppointmentReminder",
    "AppointmentSaid",
    "Appointments",
    "AutomaticAnswer",
    "ByTable",
    "Card",
    "CardChanged",
    "CardLine",
    "CaughtUp",
    "Client",
    "ConnectionChanged",
    "ConnectionState",
    "Contact",
    "Conversation",
    "ConversationChanged",
    "ConversationId",
    "CoverChanged",
    "CoverSide",
    "CoverStage",
    "CoverState",
    "DateWindows",
    "Device",
    "DeviceId",
    "DeviceLinking",
    "DevicesChanged",
    "DoorState",
    "ErrorCode",
    "Event",
    "EventsUnread",
    "FormatError",
    "HoursRefused",
    "IdentityChanged",
    "InviteMismatch",
    "Kept",
    "Leave",
    "LinkOffer",
    "LinkProblem",
    "LinkTrouble",
    "LocalError",
    "LogEntry",
    "Member",
    "MemberJoined",
    "Message",
    "MessageChanged",
    "MessageId",
    "MessageKind",
    "MessageReceived",
    "MessageRemoved",
    "MessageStatus",
    "Modality",
    "OfficeChanged",
    "OfficeHours",
    "OfficeShown",
    "OfficeState",
    "OfficeStatus",
    "Offices",
    "Outcome",
    "Override",
    "OverrideState",
    "OwnOffice",
    "PersonState",
    "Place",
    "Placeholder",
    "PlaceholderReason",
    "PlaceholderRemoved",
    "Presence",
    "PresenceChanged",
    "PresenceState",
    "ProfileChanged",
    "PromiseChanged",
    "Promised",
    "PushClosed",
    "RapportError",
    "Reason",
    "Rejected",
    "RemoteError",
    "Role",
    "Room",
    "RoomChanged",
    "RoomPerson",
    "RoomWord",
    "SecurityEvent",
    "SecurityKind",
    "SettingChanged",
    "SignedOut",
    "Status",
    "StorageProblem",
    "Typing",
    "Unreachable",
    "Urgency",
    "UrgencyChanged",
    "UrgentElsewhere",
    "VaultLocked",
    "VaultProblem",
    "VerificationChanged",
    "Waiting",
    "WaitingRoom",
    "WeeklyWindow",
    "Window",
    "WithinOpenTime",
    "join",
    "link_device",
]

"""What a node counts about its parts, for the port of `/metrics`."""

from rapport_server.doors.figures import Figures
from rapport_server.wiring import Parts

__all__ = ["follow_parts"]


def follow_parts(figures: Figures, parts: Parts) -> None:
    """Everything below the doors."""
    messaging = parts.messaging
    figures.follow("posts_accepted", "Posts and directs accepted since the start.", lambda: messaging.accepted)
    figures.follow("posts_refused", "Posts and directs refused since the start.", lambda: messaging.refused)
    figures.follow(
        "posts_unanswered", "Posts and directs on their way through the store.", lambda: messaging.unanswered
    )
    figures.follow("store_failed", "1 when the store cannot be written.", lambda: bool(parts.store.failed))
    bus = parts.bus
    figures.follow("bus_degraded", "1 while other nodes cannot be reached.", lambda: bool(bus.degraded))
    figures.follow("bus_published", "Hints that another node has received.", lambda: bus.counted.published)
    figures.follow("bus_received", "Hints that came from other nodes.", lambda: bus.counted.received)
    figures.follow("bus_dropped", "Hints that could not leave this node.", lambda: bus.counted.dropped)
    figures.follow("bus_rejected", "Payloads on the bus that no node has made.", lambda: bus.counted.rejected)
    figures.follow("node_others", "Other nodes that live now.", lambda: bus.counted.others)
    presence = parts.presence
    figures.follow("presence_told", "How often devices were told of somebody's presence.", lambda: presence.told)
    news, office = parts.news, parts.services.office
    figures.follow("office_published", "Office hours published since the start.", lambda: office.published)
    figures.follow("office_watchers", "Devices that watch office hours.", lambda: news.watchers)
    figures.follow("office_watched", "Office hours that are watched.", lambda: news.offices)
    figures.follow("office_told", "How often devices were told how an office stands.", lambda: news.told)
    urgent = parts.services.urgent
    figures.follow("urgent_running", "Urgent messages that nobody has confirmed, on all nodes.", lambda: urgent.running)
    figures.follow("urgent_started", "Urgent messages that began to be told.", lambda: urgent.started)
    figures.follow("urgent_confirmed", "Urgent messages that somebody has confirmed.", lambda: urgent.confirmed)
    figures.follow("urgent_ended", "Urgent messages that ended with nobody confirming.", lambda: urgent.ended)
    _follow_calls(figures, parts)
    _follow_hour(figures, parts)
    parts.outward.follow(figures)


def _follow_calls(figures: Figures, parts: Parts) -> None:
    calls = parts.calls
    figures.follow("calls_offered", "Calls offered at this node.", lambda: calls.offered)
    figures.follow("calls_accepted", "Calls that a device has accepted.", lambda: calls.accepted)
    figures.follow("calls_connected", "Calls whose devices were connected.", lambda: calls.connected)
    figures.follow("calls_missed", "Calls that nobody has answered.", lambda: calls.missed)
    figures.follow("calls_failed", "Calls that failed, or that one side has left.", lambda: calls.failed)


def _follow_hour(figures: Figures, parts: Parts) -> None:
    hour = parts.hour
    figures.follow("appointments_reminded", "Reminders of appointments given.", lambda: hour.appointments.reminded)
    figures.follow("rooms_admitted", "Acts of letting somebody in from a waiting room.", lambda: hour.rooms.admitted)
    figures.follow("rooms_alerted", "Alerts to hosts of somebody who waits.", lambda: hour.rooms.alerted)
    figures.follow("rooms_watchers", "Devices that watch a waiting room.", lambda: hour.news.watchers)
    figures.follow("rooms_watched", "Waiting rooms that are watched.", lambda: hour.news.rooms)
    figures.follow("rooms_told", "How often devices were told of a waiting room.", lambda: hour.news.told)

"""Calls between two people: what the server decides, and what a device does. Pure; docs/protocol.md, chapter 20."""

"""The door of an appointment and the people in front of it. Pure; docs/protocol.md, chapter 23."""

"""The Python SDK: an end-to-end encrypted Rapport client for asyncio programs."""

"""Calls as this device knows them: signaling and sealing. Media are beyond the port."""

"""The engine's hands: sockets, HTTP, clocks and vault files behind the promises of `rapport.ports`."""

"""The outside world behind the ports: stores, buses, clocks."""

"""Appointments and waiting rooms, as far as they are pure."""

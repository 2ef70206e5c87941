"""Appointments: sealed plans, the rows that the server keeps of them, and bringing these back."""

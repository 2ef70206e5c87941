"""Office hours: what a therapist publishes, whether the door is open, and when an answer is promised. Pure."""

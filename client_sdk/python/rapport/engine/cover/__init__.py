"""Cover and hand-over between therapists."""

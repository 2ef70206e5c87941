"""What cannot be opened is asked for, and sessions stay fresh."""

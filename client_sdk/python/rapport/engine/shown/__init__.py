"""What stands in a conversation, how it changes, and how it is found again."""

"""The Rapport server: a durable mailbox that cannot read what it carries."""

"""Keys of this device: prekeys, sessions with other devices, archive keys."""

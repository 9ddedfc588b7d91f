"""The serial link: frames, messages, sessions, upload."""

"""A finished run as text: one pure function a format."""

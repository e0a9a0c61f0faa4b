"""Programs to run, copy and edit."""

"""How models learn, and how they run over clips. No module here knows a particular corpus or model."""

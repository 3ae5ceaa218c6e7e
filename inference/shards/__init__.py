"""An ensemble gone through in parts, by any executor, each part its own checkpoint."""

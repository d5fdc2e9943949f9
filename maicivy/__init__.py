"""Real-time web analytics in one process: nothing accepted is lost, nobody is identified."""

__version__ = "0.1.0"

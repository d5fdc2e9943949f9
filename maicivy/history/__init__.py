"""Events of earlier days: read from web servers' logs, or made up for a demonstration."""

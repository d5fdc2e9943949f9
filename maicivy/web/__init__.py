"""HTTP and WebSocket: the only room besides `app` that knows aiohttp's server."""

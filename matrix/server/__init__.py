"""One port for a store: WebSocket, the browser page, health and metrics.

``PROTOCOL.md`` beside this file says what goes over the wire. What always holds: this process only passes bytes on;
queries and watches run in processes of their own, which may be ended at any time without harm to the store, and a
client that is slow, gone or hostile costs nobody else anything.
"""

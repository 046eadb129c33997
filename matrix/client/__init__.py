"""A store somewhere else: connect to its server, and ask as one asks a local one.

    async with matrix.connect("ws://127.0.0.1:8765/") as remote:     # under Trio
        result = await remote.query("agents where goal succeeded | count by role")

    with matrix.connect("ws://127.0.0.1:8765/") as remote:           # scripts and notebooks
        result = remote.query("agents where goal succeeded | count by role")

What is said on the wire is in ``matrix/server/PROTOCOL.md``; this room and the server share that page, and no code.
"""

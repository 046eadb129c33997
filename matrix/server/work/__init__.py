"""Questions are answered by processes of their own, so that none of them can stop the server, or another."""

"""The log: bytes on disk. Synchronous, no Trio; see FORMAT.md for what lies in the files."""

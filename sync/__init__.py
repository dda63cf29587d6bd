"""The rules of replication: standard library only; knows no HTTP, no SQL, no framework (PROTOCOL.md)."""

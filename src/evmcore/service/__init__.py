"""Answering JSON-RPC requests from a state: what each method means, and the server in front of it."""

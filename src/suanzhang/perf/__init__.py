"""Physics: small pure functions from shapes and chips to seconds, bytes and joules."""

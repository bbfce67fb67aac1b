"""The physics of one engine iteration, of the memory of a replica, and of its steady state."""

"""Recorded simulations run again: replayed, resumed after a crash, forked."""

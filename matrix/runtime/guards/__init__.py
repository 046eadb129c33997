"""What a turn may not use, what stands in its place, and turns that hang."""

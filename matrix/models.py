"""Models and tools in one place, for programs: what an agent asks, and the loop that lets a model use tools."""

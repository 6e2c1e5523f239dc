"""Losses: pure functions of float32 arrays that return a :class:`textzoo.trainers.ratio.Ratio`."""

"""HTTP: the shop's own services beside hand-written floors and what one would write without thinking of load."""

"""One-shot jobs of the shop in containers, and the files its other containers mount."""

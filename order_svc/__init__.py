"""Orders: places them, decides their state and tells everybody what happened to them."""

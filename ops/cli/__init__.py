"""`shop`: start a local shop and ask it how it is. One module per subject; `main` joins them."""

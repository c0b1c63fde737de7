"""Making projections again from the journal: read it, run the real handlers beside the live store, compare, mend."""

"""The event hop: quorum queue → one durable transaction → confirmed publish → acknowledgement."""

"""Payment providers behind one port: what they are asked, what they answer, and who they are."""

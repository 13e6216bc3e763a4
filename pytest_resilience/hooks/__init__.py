"""The ring that speaks with pytest: hooks translate, ask the rules inside, and act. They do not think."""

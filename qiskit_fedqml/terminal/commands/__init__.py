"""The commands, by what they are about; each imports what it needs when it is called, so that help comes at once."""

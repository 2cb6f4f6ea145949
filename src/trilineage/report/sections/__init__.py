"""The parts of the page, one file each: a Run in, a section out, or nothing where the Run has nothing for it."""

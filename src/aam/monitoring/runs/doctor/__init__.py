"""Whether the folder of a run is whole; nothing in it is changed."""

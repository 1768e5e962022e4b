"""Take one attribute of a face from one photo, another from a second, and give them to yours."""

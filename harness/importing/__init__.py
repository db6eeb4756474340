"""Targets made of what a center holds: images, archives, root file systems, disks."""

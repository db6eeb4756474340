"""Virtual machines: QEMU, disks, snapshots, and machines made of them."""

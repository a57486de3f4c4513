"""What runs in the cluster beside the server: disks, cards, and the program that starts and ends machines."""

"""The observed cluster: watches, capacity, and the explained state of pods and queues."""

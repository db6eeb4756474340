"""Center mode: campaigns in a queue of a PostgreSQL database, and workers on many machines that take their cells.

procrastinate is the queue. A campaign is recorded and queued in one transaction; each cell is a job. A worker takes
jobs of queues that it can serve, and runs each in a process of its own, which holds a claim on the cell. Jobs are
delivered at least once: what makes a cell run once are the claims and their tokens, not the queue.
"""

"""What benchmark.py times, and how it shows the times.

chart      the bar chart of ours beside a peer
parties    processes that are timed in turn
pipeline   the input pipeline
starts     whole processes, from their start to their end
tables     the tables
workloads  passes of the network, matrix products, evaluation, recordings
"""

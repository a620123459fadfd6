"""What benchmark.py times, and how it shows the times.

tables     the tables and the bar chart
workloads  passes of the network, matrix products, recordings, the input pipeline
"""

"""What evaluate.py measures, and how it tells it.

evaluator  separates a whole test set, and measures it
metrics    SI-SNR, SDR, STOI and PESQ of one mixture's estimates
packing    rows that hold several mixtures, so that a test set needs one shape
pictures   charts, pictures and sounds of the page
report     the page of an evaluation
summary    results.csv, summary.json and the printed table
"""

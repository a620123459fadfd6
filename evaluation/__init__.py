"""What evaluate.py measures, and how it shows it.

bursts     how many bursts of speech PESQ's library may find, which has room for 50
evaluator  separates a whole test set, and measures it
examples   the mixtures that the page lets one see and hear
metrics    SI-SNR, SDR, STOI and PESQ of one mixture's estimates
packing    rows that hold several mixtures, so that a test set needs one shape
pictures   charts, pictures and sounds of the page
report     the page of an evaluation
scores     what was measured of one mixture, as all the others pass it on
summary    results.csv, summary.json and the printed table
"""

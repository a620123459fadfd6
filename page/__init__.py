"""The page of demo.py, on which one drops a recording, and listens to its speakers.

blocks   the page: what is on it and what happens on it, in Gradio
example  the recording that comes along: two voices that are made here
markup   a result as HTML: players, pictures, downloads
result   separates a recording into a folder, and says what was done
"""

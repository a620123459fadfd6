"""What a run of train.py stands on, from its learning rate to the files that it leaves.

checkpoints  the one that a run goes on from, when each is written, and which stay
events       TensorBoard's events
progress     what a person sees: lines, a progress bar, train.log, curves, TensorBoard
ranks        the processes of one run, each with a device
run_folder   the folder of a run: its files, its lock, which options may change before the run goes on
run_state    all that a run goes on from
schedule     which options go together, the learning rate of a step, and when to stop
steps        what each step is made of: its batches, and their names
validation   the loss of the validation set
warm_start   begins with the weights of another network, as far as they fit
"""

"""Trains the shipped networks on one NVIDIA GPU in minutes, with PyTorch; checkpoints/README.md says how.

arithmetic   frames, norms, PReLU and the products that they go into
block        a convolutional block, its gradients written out
fast         the functions that a step spends its time in: as they stand, or compiled for a GPU
kernels      a kernel in Triton's language for the sums that torch.compile gets wrong
network      the network, and its weights by Asteroid's names
noises       noises made of random numbers, of speech and of a recording
objective    the loss, and the improvement that validation measures
options      the options of a training, whose defaults are what the shipped networks were trained with
pack         packs speech, noises and validation mixtures into one file
situations   who speaks when, how loud, where: mixtures drawn on the GPU
speech       the packed speech on the GPU, at several speeds
steps        the optimiser, the moving average, and a step of training as one CUDA graph
train        trains a network, and writes weights that convert.py reads
"""

"""What model.py builds Conv-TasNet of, how it is kept in a file, and what other implementations call its parts.

checkpoint          writes networks to MindSpore's .ckpt files, and reads them, without MindSpore
checkpoint_message  the layout of those files, for protobuf
in_numpy            the trained network in plain numpy, for recordings on a CPU and for streams
layers              convolutions and PReLU, on features laid out [M, K, channels], with written-out gradients
norms               gLN, cLN, cgLN and BN
numpy_layers        what in_numpy builds it of
operators           MindSpore's operators, by short names
options             the options of a network, and which of them go together
ports               names, layouts and defaults of three PyTorch implementations
precision           matrix products in half precision
"""

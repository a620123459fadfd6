"""The C++ program that runs an exported network on an Ascend 310 or a CPU, and what goes before and after it.

cut_pieces   cuts a test set into the pieces that the exported network takes
exported     reads what export.py writes beside a network
join_pieces  joins what the program made of the pieces, and scores it

In C++: main reads files and writes estimates; network, build_model_lite and build_model_classic run the network;
samples reads and writes .bin and .wav; convert makes MindIR of ONNX; fuzz_samples tries damaged files.
"""

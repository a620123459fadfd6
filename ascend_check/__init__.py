"""What is known of an Ascend card without one, and what a card tells: for scripts/check_ascend.sh.

graphs     what a training, an evaluation and an export compile
kernels    which kernels MindSpore chooses for them on Ascend
numbers    what our cells compute on a device
page       what a person reads, and sends
stand_ins  stand-ins for the libraries of CANN
"""

"""The fast engine: what a world model computes for one frame on a CPU, in fewer and larger operations.

Every part equals the module that it was made from, to rounding; the table of twins and its test hold them together.
Weights are copied into the layouts that small matrix products like, cells come with their channels last, and what does
not change between frames (keys and values of remembered views, embeddings of the noise levels) is computed once.
"""

"""The engine: many multi-layer perceptrons of one shape, trained side by side with NumPy and numba.

A `Recipe` says how one model is built and trained, a `Fit` is a stack of models in training, and
`start`, `advance` and `predict` are all one does with it. Nothing here knows of searches, tables or files.
"""

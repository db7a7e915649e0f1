"""Train the model that ships with the package, from nothing: pictures, networks, stages.

Not part of the installed package; `scripts/train-demo` runs it. Needs PyTorch (`sdcpu[train]`).
"""

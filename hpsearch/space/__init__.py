"""What may be searched: distributions, the space they make up, and what trials say about its ranges.

A *distribution* is the range of one hyperparameter and how it is measured out (`distributions.py`); a *SearchSpace* is
name → distribution, and a *config* one point of it (`space.py`). Optuna's and SciPy's distributions and the study
file's form are read and written in `conversion.py`. A *proposal* is what a stage draws from (`proposal.py`);
`refine.py` makes the next one from the *cloud* of the trials so far (`cloud.py`) and verdicts on edges (`edges.py`).
"""

"""What is kept of a search: trials in an Optuna study, checkpoints and model folders on disk, tables.

A *journal* is the SQLite file that an `optuna.Study` lives in; a *Checkpoint* is one trial's slice of a Fit; a
*manifest* lists the files of a folder with their SHA-256, so that a changed byte is seen when it is read.
"""

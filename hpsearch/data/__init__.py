"""From a table to arrays: reading, the target, fixed row sets, and the encoding of columns.

`dataset.prepare` is the door: it takes what the user gave and yields a `Dataset`, all that training, scoring and
saving need to know of the data.
"""

"""What a user takes home: the library of members, the ensembles made of them, and the predictor."""

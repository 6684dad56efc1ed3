"""The scikit-learn faces: of a network without a search, and of a search."""

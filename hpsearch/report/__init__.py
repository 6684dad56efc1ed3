"""What a person is shown: progress while a search runs, its findings, figures and the page."""

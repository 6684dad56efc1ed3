"""How a search proceeds: the plan, its cohorts, and the one loop that trains them."""

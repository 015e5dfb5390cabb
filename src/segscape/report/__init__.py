"""What a set of runs shows: tables, fronts, effects, and a page to view them."""

"""The kinds of nodes a route is made of, one file for each family."""

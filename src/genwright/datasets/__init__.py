"""Datasets: versioned rows, from files and from traces."""

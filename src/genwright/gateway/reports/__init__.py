"""What calls cost: the price book, sums by any dimension, old calls under other prices, traffic as it happens."""

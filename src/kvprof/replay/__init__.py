"""Request traces through engines' allocation policies: where the bytes went."""

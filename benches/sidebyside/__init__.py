"""What `benches/peers.py` is made of: one room a file, standard library only."""

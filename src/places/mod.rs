//! What is near a position: one trait, five providers, and the pool of threads that asks them.

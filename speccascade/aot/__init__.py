"""What compiled programs need of a slice of TPU, without one.

Programs are those that run: they are lowered from shapes and compiled for the
slice. What is read off them: memory a chip, bytes that an iteration moves
through it, collectives, copies of caches and transfers to the host.
"""

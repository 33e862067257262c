"""What a node, each of its modules and its process take: time on the loop, memory, bytes written.

Every mode has it, for each is a node. Nothing here runs while nobody looks, and nothing is loaded until somebody does.
"""

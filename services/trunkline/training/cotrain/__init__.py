"""One trunk for several tasks: a copy of a backbone, fine-tuned for all heads of a plan together.

plan        what is asked for; plan_file reads it, with the line of what is wrong
trunk       the copy as a torch net, back to an ONNX file, checked
course      what the joint training asks of a head; mapped, pooled, kept: the three kinds
balance     losses of different size, brought to one
joint       the joint training, with checkpoints
refit       a kept classifier on the finished trunk
heads       every head anew on the finished trunk, by the ordinary training
cards       what is said of a trunk
cotrain     from the plan to what is published
"""

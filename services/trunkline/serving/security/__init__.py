"""Who reaches a process, who they are, what they may do and how much; and what they did."""

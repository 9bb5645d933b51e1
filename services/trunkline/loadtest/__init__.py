"""Load tests of a gateway: callers that ask one after the other, or arrivals at times of their own.

A run is a `Setup` and some `Step`s. `fleet.Fleet` starts the processes that send, gives each its part of a step and
merges what they found; `knee` looks for the highest rate that a bound allows, `objectives` judges, `report` writes.
Latency is kept in HDR histograms, which add up without loss over processes and machines.
"""

"""Anomalies: how far a picture is from good ones, which are all that is learned from."""

"""The live page: a small web server beside the runs, which reads their facts and never writes any.

The one thing that it leaves in a run folder is a request to stop.
"""

"""The fault suite: real processes are killed, starved and lied to, and a checker compares what is left with a model.

`history` is what is done and what must be there afterwards, `tasks` are the programs that run in processes, `nursery`
starts and ends those, `tracing` puts faults into their system calls, `power` takes the power away, `damage` alters
files, `bugs` breaks one rule of crossfade at a time to prove that all this would notice; `suite` has the parts.
`python -m faults` runs the long form.
"""

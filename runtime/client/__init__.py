"""Programs that put jobs into the queues of an environment, from wherever they run.

`Client` is for programs with an event loop, `SyncClient` for those without; `enqueue` and `enqueue_sync` for one call.
They speak HTTP: the environment checks each job as it checks everybody's, and the program needs neither its Redis nor
its secrets nor its tasks, only a key with the scope `jobs:write`.
"""

"""The state directory: the only code that touches it.

    with store.transaction(actor) as tx:            # the guard is held, a left-over intent is finished first
        decision = locks.decide(tx.state, me, request, tx.stamp)   # pure
        tx.commit("lock", "…", decision.writes)     # intent -> apply -> log

`locate` finds it, `setup` makes it, `core.keys` says what is where. `files` is the only module that links, replaces,
renames or unlinks, `guard` the only one that imports filelock, `watch` the only one that imports watchdog. Only
`transaction` writes records; `state` reads them without the guard.
"""

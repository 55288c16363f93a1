"""What the queues do inside the Redis server, where nothing comes between the steps.

Each script is a file of `lua/`, run behind `common.lua`. The keys of a queue, all with one hash tag, so that a cluster
keeps them together:

    job:<id>         string  a record; it has a time to live once the job has ended
    waiting          zset    jobs that may run; the score is their place, see `common.lua`
    delayed          zset    jobs whose time has not come; the score is when it does
    held             hash    jobs that workers hold -> token of the claim; whoever has it may change the job's record
    resting          zset    jobs that were laid aside one by one; the score is when
    awaits           hash    jobs that wait for others -> for how many
    broken           hash    jobs of these that must fail -> the child that has failed
    parents          hash    unfinished jobs for which another one waits -> that one, as JSON
    place            hash    priority and group of unfinished jobs that were given one
    turns            hash    the fair tags: the one that is served, and the last of each group
    parked:<group>   zset    jobs of a group that has reached its limit, as in `waiting`
    limited          zset    these groups; the score is when they are looked at again
    grouped          hash    group -> how many of its jobs are held
    starts[:<group>] list    when the last jobs began, as many as a rate allows in its window
    workers          zset    workers; the score is until when each counts as alive
    pulse            hash    when a worker was last seen, and until when silence is forgiven
    signals          hash    held jobs whose holder is told something: `cancel`, `pause`
    buried           hash    jobs of dead workers that another one ends -> why: `cancel`, or how many were lost
    replayed:<token> string  what a replay has answered, for a call that comes again; it has a time to live
    void:<token>     string  a claim that was given up; it has a time to live
    stalls           hash    how often an unfinished job has lost its worker
    keys             hash    the key of an unfinished job -> its id
    once:<name>      string  the id of the job that was given the name; it has a time to live
    throttled:<key>  string  the id of the job that stands for all of that key for a while
    ended            list    completed jobs, newest first, at most `keep`
    dead             zset    failed jobs; the score is when they failed (ms)
    stats            hash    how many tries have come to what
    wake             list    one entry when a worker that has nothing to do should look
    paused           string  there while no worker begins jobs of the queue

All but the records and the names are structures that live as long as the queue. Times are the server's, in seconds,
where nothing else is said.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).with_name("lua")
_COMMON: Final = (_FOLDER / "common.lua").read_text()


def _script(name: str) -> str:
    return f"{_COMMON}\n{(_FOLDER / name).with_suffix('.lua').read_text()}"


ENQUEUE: Final = _script("enqueue")
EXCHANGE: Final = _script("exchange")
TICK: Final = _script("tick")
MARK: Final = _script("mark")
STATE: Final = _script("state")
CANCEL: Final = _script("cancel")
REST: Final = _script("rest")
WAKE: Final = _script("wake")
PAUSE: Final = _script("pause")
DEAD: Final = _script("dead")
REPLAY: Final = _script("replay")
COUNTS: Final = _script("counts")
ADMIT: Final = _script("admit")
CLAIMED: Final = _script("claimed")

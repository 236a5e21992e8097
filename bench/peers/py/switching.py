"""Python's greenlet: a switch, and a ring of greenlets.

    switching.py switch | ring N        prints: ns X

An operation is one call of switch, so a round trip counts as two. The loops are as plain as those of greenlet's own
benchmarks/chain.py: what they cost themselves is part of what a Python program pays.
"""

import statistics
import sys
import time

from greenlet import getcurrent, greenlet

ROUNDS = 5
OPERATIONS = 200_000


def switches():
    """Between the main greenlet and one other."""
    main = getcurrent()

    def echo(value):
        while True:
            value = main.switch(value)

    other = greenlet(echo)
    trips = OPERATIONS // 2
    switch = other.switch
    start = time.perf_counter_ns()
    for trip in range(trips):
        switch(trip)
    return (time.perf_counter_ns() - start) / (2 * trips)


def ring(size):
    """Among this many, none of them the main greenlet."""
    laps = max(OPERATIONS // size, 2)
    members = []

    def leader(main):
        following = members[1 % size].switch
        for lap in range(laps):
            following(lap)
        main.switch()

    def member(following):
        # Started by the main greenlet, one by one: a start counts as a call of whoever makes it, and a thousand calls
        # within calls are too many for Python.
        def run(main):
            value = main.switch()
            while True:
                value = following.switch(value)

        other = greenlet(run)
        other.switch(getcurrent())
        return other

    members.append(greenlet(leader))
    following = members[0]
    others = []
    for _ in range(size - 1):
        following = member(following)
        others.append(following)
    members.extend(reversed(others))
    start = time.perf_counter_ns()
    members[0].switch(getcurrent())
    return (time.perf_counter_ns() - start) / (laps * size)


def main():
    part = sys.argv[1]
    if part == "switch":
        measure = switches
    elif part == "ring":
        size = int(sys.argv[2])
        measure = lambda: ring(size)
    else:
        sys.exit(f"no part {part}")
    measure()
    print("ns", statistics.median(measure() for _ in range(ROUNDS)))


main()

"""gevent: yields, spawns, parked greenlets, sleepers, queues, and an echo server.

    waiting.py yield N | spawn N | items128 | items | round-trip      prints: ns X
    waiting.py memory N                                               prints: bytes X
    waiting.py timers N                                               prints: slept CPU CPU_PARKED LATE LATEST
    waiting.py echo SIZE                                              prints: listening on ADDR, then serves

The same work as greenloom's side, in gevent's own words: sleep(0) gives up a turn, StreamServer serves.
"""

import gc
import random
import statistics
import sys
import time

import gevent
from gevent.event import Event
from gevent.queue import Channel, Queue, SimpleQueue

ROUNDS = 5
OPERATIONS = 100_000


def yields(n):
    """From when all have started to when all are through."""
    laps = max(OPERATIONS // n, 2)
    times = []

    def run():
        gevent.sleep(0)
        times.append(time.perf_counter_ns())
        for _ in range(laps):
            gevent.sleep(0)
        times.append(time.perf_counter_ns())

    gevent.joinall([gevent.spawn(run) for _ in range(n)])
    return (max(times) - min(times)) / (laps * n)


def spawns(n):
    def nothing():
        pass

    batches = max(OPERATIONS // 4 // n, 1)
    start = time.perf_counter_ns()
    for _ in range(batches):
        for task in [gevent.spawn(nothing) for _ in range(n)]:
            task.join()
    return (time.perf_counter_ns() - start) / (batches * n)


def items(queue):
    def produce():
        for i in range(OPERATIONS):
            queue.put(i)

    start = time.perf_counter_ns()
    producer = gevent.spawn(produce)
    for _ in range(OPERATIONS):
        queue.get()
    elapsed = time.perf_counter_ns() - start
    producer.join()
    return elapsed / OPERATIONS


def round_trips():
    ping, pong = Channel(), Channel()
    trips = OPERATIONS // 4

    def echo():
        for _ in range(trips):
            pong.put(ping.get())

    other = gevent.spawn(echo)
    start = time.perf_counter_ns()
    for i in range(trips):
        ping.put(i)
        pong.get()
    elapsed = time.perf_counter_ns() - start
    other.join()
    return elapsed / trips


def taken():
    """Resident set and page tables of this process, in bytes."""
    total = 0
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(("VmRSS:", "VmPTE:")):
                total += int(line.split()[1]) * 1024
    return total


def memory(n):
    never = Event()
    gc.collect()
    before = taken()
    tasks = [gevent.spawn(never.wait) for _ in range(n)]
    gevent.sleep(0)
    gevent.sleep(0)
    each = (taken() - before) / n
    print("bytes", each, flush=True)
    assert not tasks[-1].dead


def timers(n):
    late = []
    chance = random.Random(1)
    before = time.process_time_ns()
    first = time.monotonic_ns() + 1_500_000_000

    def sleeper(due):
        gevent.sleep(max(due - time.monotonic_ns(), 0) / 1e9)
        late.append(max(time.monotonic_ns() - due, 0))

    tasks = [gevent.spawn(sleeper, first + chance.randrange(1_000_000_000)) for _ in range(n)]
    gevent.sleep(0)
    parked = time.process_time_ns()
    gevent.joinall(tasks)
    after = time.process_time_ns()
    late.sort()
    print("slept", after - before, after - parked, late[(n - 1) // 2], late[(n - 1) * 99 // 100])


def echo(size):
    from socket import IPPROTO_TCP, TCP_NODELAY

    from gevent.server import StreamServer

    buffer = 4096 if size < 4096 else 32768

    def answer(socket, _):
        socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        while data := socket.recv(buffer):
            socket.sendall(data)

    server = StreamServer(("127.0.0.1", 0), answer, backlog=1024)
    server.start()
    print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


def main():
    part, *rest = sys.argv[1:]
    n = int(rest[0]) if rest else 0
    measures = {
        "yield": lambda: yields(n),
        "spawn": lambda: spawns(n),
        "items128": lambda: items(Queue(128)),
        "items": lambda: items(SimpleQueue()),
        "round-trip": round_trips,
    }
    alone = {"memory": memory, "timers": timers, "echo": echo}
    if part in alone:
        alone[part](n)
    elif part in measures:
        measures[part]()
        print("ns", statistics.median(measures[part]() for _ in range(ROUNDS)))
    else:
        sys.exit(f"no part {part}")


main()

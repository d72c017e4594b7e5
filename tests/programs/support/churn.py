"""churn - makes and drops objects of many sizes, on one thread and on four, and prints a digest of
what came out of it: the same on every run and every malloc."""

import hashlib
import json
import queue
import threading

MASK = (1 << 32) - 1


def numbers(seed):
    """A sequence that does not depend on the version of Python."""
    state = seed
    while True:
        state = (state * 1664525 + 1013904223) & MASK
        yield state >> 8


def churn(seed, rounds):
    draw = numbers(seed)
    digest = hashlib.sha256()
    live = {}
    for _ in range(rounds):
        key = next(draw) % 4096
        kind = next(draw) % 5
        if kind == 0:
            live[key] = [next(draw) for _ in range(next(draw) % 200)]
        elif kind == 1:
            live[key] = "x" * (next(draw) % 5000) + str(key)
        elif kind == 2:
            live[key] = {str(n): n * key for n in range(next(draw) % 60)}
        elif kind == 3:
            live[key] = json.loads(json.dumps(live.get(key)))
        else:
            digest.update(json.dumps(live.pop(key, None), sort_keys=True).encode())
    digest.update(json.dumps(live, sort_keys=True).encode())
    return digest.hexdigest()


def passed_on(count):
    """Objects made by one thread are dropped by another."""
    line = queue.Queue(maxsize=64)
    digest = hashlib.sha256()

    def make():
        draw = numbers(7)
        for i in range(count):
            line.put([str(i), b"y" * (next(draw) % 3000)])
        line.put(None)

    maker = threading.Thread(target=make)
    maker.start()
    while (item := line.get()) is not None:
        digest.update(item[0].encode() + item[1])
    maker.join()
    return digest.hexdigest()


def together(threads):
    results = [None] * threads

    def work(index):
        results[index] = churn(index + 100, 25000)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return results


def grown():
    """One list and one string that grow to tens of megabytes by small steps."""
    text, items = bytearray(), []
    for i in range(1500000):
        items.append(i)
        text += b"0123456789abcdef"
    return hashlib.sha256(text).hexdigest(), sum(items)


print("one thread", churn(1, 120000))
print("four threads", *together(4))
print("passed on", passed_on(30000))
print("grown", *grown())

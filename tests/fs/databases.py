"""Several processes transfer between the accounts of one database; whoever looks sees the same total, and every transfer that was committed is there.

databases.py sqlite|lmdb DIRECTORY SECONDS
"""

import multiprocessing
import os
import random
import sqlite3
import struct
import sys
import time

ACCOUNTS, EACH, PROCESSES = 50, 1000, 4


class Sqlite:
    def __init__(self, directory):
        # Every commit is a barrier.
        self.db = sqlite3.connect(os.path.join(directory, "accounts.sqlite"), timeout=60, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=FULL")

    def create(self):
        self.db.execute("CREATE TABLE account (n INTEGER PRIMARY KEY, amount INTEGER)")
        self.db.execute("CREATE TABLE done (who INTEGER PRIMARY KEY, transfers INTEGER)")
        self.db.executemany("INSERT INTO account VALUES (?, ?)", [(n, EACH) for n in range(ACCOUNTS)])
        self.db.executemany("INSERT INTO done VALUES (?, 0)", [(who,) for who in range(PROCESSES)])

    def transfer(self, who, source, target):
        self.db.execute("BEGIN IMMEDIATE")
        self.db.execute("UPDATE account SET amount = amount - 1 WHERE n = ?", (source,))
        self.db.execute("UPDATE account SET amount = amount + 1 WHERE n = ?", (target,))
        self.db.execute("UPDATE done SET transfers = transfers + 1 WHERE who = ?", (who,))
        self.db.execute("COMMIT")

    def total(self):
        return self.db.execute("SELECT sum(amount) FROM account").fetchone()[0]

    def transfers(self, who):
        return self.db.execute("SELECT transfers FROM done WHERE who = ?", (who,)).fetchone()[0]

    def check(self):
        verdict = self.db.execute("PRAGMA integrity_check").fetchone()[0]
        assert verdict == "ok", verdict


class Lmdb:
    def __init__(self, directory):
        import lmdb

        self.env = lmdb.open(os.path.join(directory, "accounts.lmdb"), map_size=32 << 20)

    def create(self):
        with self.env.begin(write=True) as txn:
            for n in range(ACCOUNTS):
                self.put(txn, "account", n, EACH)
            for who in range(PROCESSES):
                self.put(txn, "done", who, 0)

    @staticmethod
    def put(txn, kind, n, value):
        txn.put(b"%s %d" % (kind.encode(), n), struct.pack("q", value))

    @staticmethod
    def get(txn, kind, n):
        return struct.unpack("q", txn.get(b"%s %d" % (kind.encode(), n)))[0]

    def transfer(self, who, source, target):
        with self.env.begin(write=True) as txn:
            self.put(txn, "account", source, self.get(txn, "account", source) - 1)
            self.put(txn, "account", target, self.get(txn, "account", target) + 1)
            self.put(txn, "done", who, self.get(txn, "done", who) + 1)

    def total(self):
        with self.env.begin() as txn:
            return sum(self.get(txn, "account", n) for n in range(ACCOUNTS))

    def transfers(self, who):
        with self.env.begin() as txn:
            return self.get(txn, "done", who)

    def check(self):
        with self.env.begin() as txn:
            assert sum(1 for _ in txn.cursor()) == ACCOUNTS + PROCESSES


KINDS = {"sqlite": Sqlite, "lmdb": Lmdb}


def work(kind, directory, who, end):
    database = KINDS[kind](directory)
    committed = 0
    while time.monotonic() < end:
        database.transfer(who, *random.sample(range(ACCOUNTS), 2))
        committed += 1
        if committed % 5 == 0:
            assert database.total() == ACCOUNTS * EACH, "a reader saw half of a transfer"
    assert database.transfers(who) == committed, "a committed transfer is missing, or was done twice"
    assert committed > 0


def main(kind, directory, seconds):
    first = KINDS[kind](directory)
    first.create()
    del first
    end = time.monotonic() + float(seconds)
    workers = [multiprocessing.Process(target=work, args=(kind, directory, who, end)) for who in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(worker.exitcode == 0 for worker in workers)
    last = KINDS[kind](directory)
    last.check()
    assert last.total() == ACCOUNTS * EACH
    print(kind, sum(last.transfers(who) for who in range(PROCESSES)), "transfers")


main(*sys.argv[1:])

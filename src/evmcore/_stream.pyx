"""A block's transactions one after the other as they become final, while later transactions still run.

The block is executed in a separate thread, which holds the GIL only at its begin and end. A thread that commits a transaction
signals this at a gate and goes on. The reader finds the results in the block's output, whose arrays never move, and makes Python
objects of them at its own pace. A slow reader therefore delays nobody, and no queue is needed.
"""
import threading

cimport cython
from libc.stdint cimport uint64_t

from evmcore._block cimport run_block
from evmcore._block_run cimport BlockRun, Executor
from evmcore._block_steps cimport BlockOutput, Gate
from evmcore._outcome cimport committed_transaction

from evmcore.errors import InputError, not_copied

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

cdef enum:
    AT_ONCE = 64                  # results the reader wakes up for, when they come quickly ...
    NAP_US = 1000                 # ... and how long it sleeps otherwise


@cython.auto_pickle(False)
cdef class Execution:
    def __cinit__(self):
        self.run = BlockRun()
        self.kept = self.run.kept
        self.kept.follow()

    def __call__(self):
        try:
            # What it changes is applied when all has been read: a stream may be closed before.
            self.result = run_block(self.run, self.request, self.executor, False)
        except BaseException as error:
            self.error = error
        finally:
            self.request = self.executor = None
            self.kept.gate.close()


cdef class BlockStream:
    """The result of `execute_block_stream`: an iterator over a block's transactions as they become final.

    `result` is the `BlockResult` once the iterator is exhausted, before that None. `close` ends the execution early:
    when it returns, all threads of the execution have ended and nothing has been applied to the state. A stream that
    is dropped is closed. A stream can be used in a `with` statement. Only one thread at a time may use a stream.
    """

    def __cinit__(self, *args, **kwargs):
        self.execution = Execution()              # without __init__ it has no block

    def __init__(self, request, Executor executor not None):
        if self.block is not None:                # it may be running
            raise InputError("a BlockStream is made once: execute the block again for another one")
        _, self.fork = request.rules()
        self.block = request.block
        self.commit = request.commit
        self.execution.request = request
        self.execution.executor = executor

    def __reduce__(self):
        raise not_copied(self, "threads of this process execute its block; pickle what is needed of its transactions")

    def __iter__(self):
        return self

    def __next__(self):
        cdef BlockOutput seen
        cdef Gate* gate
        if self.ended:
            raise StopIteration
        if self.block is None:
            raise InputError("a BlockStream without a block: `execute_block_stream` makes one of a block")
        if self.thread is None:
            self.thread = threading.Thread(target=self.execution, name="evmcore block")
            self.thread.start()
        gate = self.execution.kept.gate
        while gate.published() <= self.next:
            if gate.closed() and gate.published() <= self.next:
                return self.finish()
            self.wait()
        self.execution.kept.view(&seen)
        self.next += 1
        return committed_transaction(
            self.execution.kept, &seen, self.next - 1, self.fork, self.block.transactions[self.next - 1]
        )

    cdef object wait(self):
        cdef Gate* gate = self.execution.kept.gate
        cdef uint64_t until = min(self.next + AT_ONCE, <uint64_t>len(self.block.transactions) + 1)
        with nogil:
            gate.wait(until, NAP_US)
        PyErr_CheckSignals()

    cdef object finish(self):
        """After the last result: what the whole block gave."""
        cdef BlockResult result
        self.thread.join()
        self.thread = None
        self.ended = True
        error, self.execution.error = self.execution.error, None
        if error is not None:
            raise error
        result = self.execution.result
        if self.commit:
            result.backend.apply(result.diff)
            result.committed = True
        self.result = result
        raise StopIteration

    def close(self):
        """Ends the iteration, and the execution if it is still running. All threads have ended when this returns."""
        self.ended = True
        if self.thread is not None:
            self.execution.run.end_early()
            self.thread.join()
            self.thread = None
            self.execution.error = self.execution.result = None

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.close()

    def __del__(self):
        self.close()

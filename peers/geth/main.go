// Command geth runs messages and blocks on go-ethereum for evmcore's benchmark. It speaks the protocol in ../README.md.
//
// Built as geth itself is, with its profile:
//
//	go build -pgo="$(go list -m -f '{{.Dir}}' github.com/ethereum/go-ethereum)/cmd/geth/default.pgo"
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// work is a message or a block that can be run any number of times from the same state.
type work interface {
	// prepare makes what a run uses up. It is not timed.
	prepare() error
	// run is what is timed.
	run() error
	// answer is what the last run gave.
	answer() any
}

func main() {
	// The processor clock that is read is the running thread's.
	runtime.LockOSThread()
	// A node's heap is gigabytes large, so that few of its blocks see the collector start. In a heap as small as ours it would
	// start several times a block, and many times in a message that asks for memory.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(1 << 30)
	if err := serve(os.Stdin, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// serve answers requests, one a line, until there are no more.
func serve(requests io.Reader, answers io.Writer) error {
	var (
		reader  = bufio.NewReaderSize(requests, 1<<20)
		out     = json.NewEncoder(answers)
		current work
	)
	if err := out.Encode(hello{"geth", gethVersion(), []string{"message", "block"}, false}); err != nil {
		return err
	}
	for {
		line, err := reader.ReadBytes('\n')
		if len(line) > 0 {
			if err := out.Encode(handle(line, &current)); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// handle gives the answer to one request. A message or a block becomes the current work, which `run` repeats.
func handle(line []byte, current *work) any {
	var kind struct{ Do string }
	if err := json.Unmarshal(line, &kind); err != nil {
		return failure{fmt.Sprintf("not a request: %v", err)}
	}
	var (
		answer any
		err    error
	)
	switch kind.Do {
	case "message":
		answer, err = start(line, newMessage, current)
	case "block":
		answer, err = start(line, newBlock, current)
	case "run":
		answer, err = repeat(line, *current)
	default:
		err = fmt.Errorf("do is %q: message, block, or run is needed", kind.Do)
	}
	if err != nil {
		return failure{err.Error()}
	}
	return answer
}

// start makes work of a request and runs it once. Work that fails does not stay current.
func start[R any](line []byte, make func(R) (work, error), current *work) (any, error) {
	*current = nil
	var request R
	if err := json.Unmarshal(line, &request); err != nil {
		return nil, err
	}
	made, err := make(request)
	if err != nil {
		return nil, err
	}
	if err := made.prepare(); err != nil {
		return nil, err
	}
	if err := made.run(); err != nil {
		return nil, err
	}
	*current = made
	return made.answer(), nil
}

// repeat runs the current work again and times it.
func repeat(line []byte, current work) (any, error) {
	var request struct{ Times int }
	if err := json.Unmarshal(line, &request); err != nil {
		return nil, err
	}
	if current == nil {
		return nil, errors.New("nothing to run: neither a message nor a block came before")
	}
	// What reading requests left over is no part of the runs.
	runtime.GC()
	timed := times{make([]int64, 0, request.Times), make([]int64, 0, request.Times)}
	for range request.Times {
		if err := current.prepare(); err != nil {
			return nil, err
		}
		cpu, wall := threadTime(), time.Now()
		err := current.run()
		timed.Wall = append(timed.Wall, time.Since(wall).Nanoseconds())
		timed.CPU = append(timed.CPU, threadTime()-cpu)
		if err != nil {
			return nil, err
		}
	}
	return timed, nil
}

// threadTime is the processor time of the calling thread in nanoseconds.
func threadTime() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		log.Fatalf("no processor clock of the thread: %v", err)
	}
	return now.Nano()
}

// gethVersion is the version of go-ethereum that this program was built with.
func gethVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "github.com/ethereum/go-ethereum" {
				return module.Version
			}
		}
	}
	return "unknown"
}

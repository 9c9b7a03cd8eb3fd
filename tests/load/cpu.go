package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// cpuClock reads the CPU time, user and system, that one process has used in
// all its threads, those that have ended included.
type cpuClock struct {
	pid  int
	read func(pid int) (time.Duration, error)
	name string
}

// newCPUClock takes the kernel's clock of the process, and where a sandbox
// refuses it the coarse figures of /proc.
func newCPUClock(pid int) (cpuClock, error) {
	if _, err := processClock(pid); err == nil {
		return cpuClock{pid, processClock, "process CPU clock, 1 ns"}, nil
	}
	if _, err := procStat(pid); err != nil {
		return cpuClock{}, fmt.Errorf("cpu time of process %d: %w", pid, err)
	}
	return cpuClock{pid, procStat, "/proc/PID/stat, 10 ms"}, nil
}

func (c cpuClock) now() (time.Duration, error) { return c.read(c.pid) }

// cpuClocks reads what several processes have used together: a server and what
// it keeps its counters in.
type cpuClocks []cpuClock

func newCPUClocks(pids ...int) (cpuClocks, error) {
	var all cpuClocks
	for _, pid := range pids {
		c, err := newCPUClock(pid)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func (all cpuClocks) now() (sum time.Duration, err error) {
	for _, c := range all {
		one, err := c.now()
		if err != nil {
			return 0, err
		}
		sum += one
	}
	return sum, nil
}

func (all cpuClocks) queued() (sum time.Duration) {
	for _, c := range all {
		sum += queued(c.pid)
	}
	return sum
}

// processClock is clock_gettime on clock_getcpuclockid(pid): the complement of
// the pid above three bits that say "whole process, scheduler's sum".
func processClock(pid int) (time.Duration, error) {
	const wholeProcessScheduled = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|wholeProcessScheduled), &t); err != nil {
		return 0, fmt.Errorf("clock_gettime: %w", err)
	}
	return time.Duration(t.Nano()), nil
}

func procStat(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseStat(text)
}

// parseStat adds utime and stime, fields 14 and 15. The command's name, field
// 2, may hold spaces and parentheses, so fields are counted from its end.
func parseStat(text []byte) (time.Duration, error) {
	const tick = time.Second / 100 // USER_HZ is 100 in Linux's user interface
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return 0, errors.New("stat: no command name")
	}
	fields := bytes.Fields(text[end+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat: %d fields after the command name, want 13 or more", len(fields))
	}
	var sum time.Duration
	for _, field := range fields[11:13] {
		ticks, err := strconv.ParseUint(string(field), 10, 63)
		if err != nil {
			return 0, fmt.Errorf("stat: %w", err)
		}
		sum += time.Duration(ticks) * tick
	}
	return sum, nil
}

// queued is how long the threads of a process have stood in line for a core
// while they had work to do: the kernel's run delay. Threads that have ended
// are missing from it, so it is a hint and no measurement.
func queued(pid int) time.Duration {
	var sum time.Duration
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // the pattern is well formed
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		sum += parseRunDelay(text)
	}
	return sum
}

// parseRunDelay reads the second of schedstat's three numbers; 0 where there
// is none.
func parseRunDelay(text []byte) time.Duration {
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	ns, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(ns)
}

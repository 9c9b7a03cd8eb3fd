package testenv

import (
	"runtime"
	"syscall"
)

// endWithParent asks the kernel to kill the child when the thread that started
// it ends, so that a test that is killed leaves none behind.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// lockThread keeps the thread that starts a child for as long as it waits for
// it.
func lockThread() { runtime.LockOSThread() }

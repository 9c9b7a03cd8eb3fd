package testenv

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"syscall"
)

// endWithParent asks the kernel to kill the child when the thread that started
// it ends, so that a test that is killed leaves none behind.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// lockThread keeps the thread that starts a child for as long as it waits for
// it.
func lockThread() { runtime.LockOSThread() }

// claimPort keeps port from other processes' tests for as long as this process runs:
// between the look whether it is free and the server's start they look as well.
// Names of this kind are in no file system, and end with who holds them.
func claimPort(port int) (claim io.Closer, ok bool) {
	claim, err := net.Listen("unix", fmt.Sprintf("@sallyport-test-port-%d", port))
	return claim, err == nil
}

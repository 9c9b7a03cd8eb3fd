//go:build !linux

package testenv

import (
	"io"
	"strings"
	"syscall"
)

// endWithParent has no help from the kernel here: a test that is killed leaves
// its servers behind.
func endWithParent() *syscall.SysProcAttr { return nil }

func lockThread() {}

// claimPort claims nothing here: tests of two processes may happen to take one port.
func claimPort(int) (claim io.Closer, ok bool) { return io.NopCloser(strings.NewReader("")), true }

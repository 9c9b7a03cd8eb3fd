//go:build !linux

package envoyproc

import "syscall"

// endWithParent has no help from the kernel here: Stop must be called.
func endWithParent() *syscall.SysProcAttr { return nil }

//go:build !linux

package testenv

import "syscall"

// endWithParent has no help from the kernel here: a test that is killed leaves
// its servers behind.
func endWithParent() *syscall.SysProcAttr { return nil }

func lockThread() {}

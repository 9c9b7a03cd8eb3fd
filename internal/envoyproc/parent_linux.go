package envoyproc

import "syscall"

// endWithParent asks the kernel to kill the child when the thread that started
// it ends, so that nothing is left behind even by a kill -9. A process group of
// its own keeps a terminal's Ctrl-C for us, who then end it in good order.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

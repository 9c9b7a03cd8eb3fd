package redis

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unread returns how many bytes the system holds for c that nobody has read.
func unread(c net.Conn) (n int) {
	if secure, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secure.NetConn()
	}
	plain, ok := c.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := plain.SyscallConn()
	if err != nil {
		return 0
	}
	if raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }) != nil || err != nil {
		return 0
	}
	return n
}

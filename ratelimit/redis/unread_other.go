//go:build !linux

package redis

import "net"

// unread is not known here.
func unread(net.Conn) int { return 0 }

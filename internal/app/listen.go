package app

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/sallyport/sallyport/internal/config"
)

// listen binds everything before anything serves, so that a taken port is an
// error of New and ":0" can be asked for its port.
func (a *App) listen(c config.Listen) (err error) {
	for _, at := range c.GRPC {
		l, err := bind(at)
		if err != nil {
			return err
		}
		a.listeners = append(a.listeners, l)
	}
	a.httpListen, err = bind(c.HTTP)
	return err
}

// bind listens on unix:///path or host:port.
func bind(at string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(at, "unix://"); ok {
		return bindSocket(path)
	}
	l, err := net.Listen("tcp", at)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s: the port is taken; stop what uses it or choose another", at)
	}
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

// bindSocket binds beside path and renames over it: a server that still runs
// there keeps its connections, new ones come here, and no moment is without a
// socket. For the same reason it is not unlinked at the end.
func bindSocket(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	beside := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.Remove(beside); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l, err := net.Listen("unix", beside)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := os.Rename(beside, path); err != nil {
		l.Close()
		os.Remove(beside)
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return socket{l, path}, nil
}

// socket is a listener that tells the name it was renamed to.
type socket struct {
	net.Listener
	path string
}

func address(l net.Listener) string {
	if s, ok := l.(socket); ok {
		return "unix://" + s.path
	}
	return l.Addr().String()
}

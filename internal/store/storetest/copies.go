package storetest

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Copies returns a function that gives each test the file of an empty store,
// for whoever tests what is done with a store and not how it begins: open makes
// its tables once for them all, which takes longer than most of what is tested
// on them.
func Copies(open func(ctx context.Context, path string) (io.Closer, error)) func(t testing.TB, folder string) (path string) {
	empty := sync.OnceValues(func() ([]byte, error) { return newFile(open) })
	return func(t testing.TB, folder string) string {
		t.Helper()
		file, err := empty()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, "sallyport.db")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
}

// newFile returns what is in the file of a store that was opened and closed.
func newFile(open func(ctx context.Context, path string) (io.Closer, error)) ([]byte, error) {
	folder, err := os.MkdirTemp("", "sallyport-store-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "sallyport.db")
	s, err := open(context.Background(), path)
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport"
)

// crashPath, in the environment, makes this test binary the program that is
// killed.
const crashPath = "SALLYPORT_TEST_CRASH_PATH"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashPath); path != "" {
		fmt.Fprintln(os.Stderr, writeForEver(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForEver creates and revokes credentials from several goroutines and
// says on standard output what has been acknowledged.
func writeForEver(path string) error {
	ctx := context.Background()
	s, err := Open(ctx, path)
	if err != nil {
		return err
	}
	if err := s.CreateTenant(ctx, testTenant()); err != nil {
		return err
	}
	errs := make(chan error)
	var mu sync.Mutex // guards standard output
	say := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(line)
	}
	for g := range 3 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("k%d-%d", g, i)
				if err := s.CreateCredential(ctx, testNew(id)); err != nil {
					errs <- err
				}
				say("created " + id)
				_, err := s.UpdateCredential(ctx, "orders", "", id, false, func(c *sallyport.Credential) error { c.State = sallyport.Revoked; return nil })
				if err != nil {
					errs <- err
				}
				say("revoked " + id)
			}
		}()
	}
	return <-errs
}

func TestAcknowledgedWritesSurviveKill(t *testing.T) {
	for round := range 2 {
		path := filepath.Join(t.TempDir(), "s.db")
		acknowledged := killAfter(t, path, 40+53*round)
		s := openTest(t, path)
		for _, line := range acknowledged {
			what, id, _ := strings.Cut(line, " ")
			got, err := s.ByDigest(t.Context(), testDigest(id))
			if err != nil {
				t.Errorf("%s: %v", line, err)
			} else if what == "revoked" && got.State != sallyport.Revoked {
				t.Errorf("%s: got %v", line, got.State)
			}
		}
		var verdict string
		if err := s.reader.QueryRow(`PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
			t.Errorf("got %q, %v, want ok", verdict, err)
		}
	}
}

// killAfter starts the program, kills it (SIGKILL) after so many lines, and
// returns all lines that it wrote.
func killAfter(t *testing.T, path string, lines int) (all []string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program)
	command.Env = append(os.Environ(), crashPath+"="+path)
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	// A line may be cut off by the kill; only those with an end count.
	for in := bufio.NewReader(output); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			break
		}
		all = append(all, strings.TrimSuffix(line, "\n"))
		if len(all) == lines {
			if err := command.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	command.Wait() // its error is the kill
	if len(all) < lines {
		t.Fatalf("the program ended by itself after %d lines", len(all))
	}
	return all
}

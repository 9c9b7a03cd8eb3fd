package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/testenv"
)

// block is a fenced block of the README.
type block struct {
	line     int
	language string
	text     string
}

var fence = regexp.MustCompile("^```([a-z]*)$")

func readmeBlocks(t *testing.T, section string) (blocks []block) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var open *block
	inSection := false
	for i, line := range strings.Split(string(text), "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case m != nil && open == nil:
			open = &block{line: i + 1, language: m[1]}
		case m != nil:
			if inSection {
				blocks = append(blocks, *open)
			}
			open = nil
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(line, "## "):
			inSection = line == "## "+section
		}
	}
	if len(blocks) == 0 {
		t.Fatalf("README.md has no block in section %q", section)
	}
	return blocks
}

// shell is one bash, so that variables live from one command to the next.
type shell struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
}

func newShell(t *testing.T, folder string) *shell {
	t.Helper()
	c := exec.Command("bash")
	c.Dir = folder
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); c.Wait() })
	return &shell{t, in, bufio.NewReader(out)}
}

// run runs a command and returns what it printed.
func (s *shell) run(command string) string {
	s.t.Helper()
	const end = "~~the end of a command~~"
	fmt.Fprintf(s.in, "%s\necho; echo '%s'\n", command, end)
	var out strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			s.t.Fatalf("%s: %v", command, err)
		}
		if strings.TrimSpace(line) == end {
			return out.String()
		}
		out.WriteString(line)
	}
}

// expect runs the commands of a console block, and holds their output against
// the lines below each: they must come in that order; … stands for anything.
func (s *shell) expect(b block) {
	s.t.Helper()
	var output string
	command := ""
	for _, line := range strings.Split(strings.TrimSpace(b.text), "\n") {
		if rest, ok := strings.CutPrefix(line, "$ "); ok {
			command = rest
			output = s.run(command)
			continue
		}
		parts := strings.Split(line, "…")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		at := regexp.MustCompile(strings.Join(parts, ".*")).FindStringIndex(output)
		if at == nil {
			s.t.Errorf("README.md:%d: $ %s\nprinted nothing like %q, but\n%s", b.line, command, line, output)
			return
		}
		output = output[at[1]:]
	}
}

// The README's commands do what it says: `make demo` is started, and each line
// after it is run as it stands.
func TestTheReadmesCommands(t *testing.T) {
	testenv.Envoy(t)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	blocks := readmeBlocks(t, "Try it")
	if strings.TrimSpace(blocks[0].text) != "make demo" {
		t.Fatalf("the first command is %q", blocks[0].text)
	}
	export := startMakeDemo(t, root)
	sh := newShell(t, root)
	sh.run(export)
	if left := 60 - time.Now().Unix()%60; left < 30 {
		time.Sleep(time.Duration(left) * time.Second) // the README counts requests within one minute
	}
	for _, b := range blocks[1:] {
		switch b.language {
		case "sh":
			sh.run(b.text)
		case "console":
			sh.expect(b)
		default:
			t.Errorf("README.md:%d: what is a block of %q?", b.line, b.language)
		}
	}
}

// startMakeDemo starts `make demo` and returns the export line that it prints.
func startMakeDemo(t *testing.T, root string) (export string) {
	t.Helper()
	c := exec.Command("make", "demo")
	c.Dir = root
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-c.Process.Pid, syscall.SIGINT) // as Ctrl-C does: to the whole group
		c.Wait()
	})
	lines := bufio.NewScanner(out)
	var seen strings.Builder
	for lines.Scan() {
		seen.WriteString(lines.Text() + "\n")
		if line := strings.TrimSpace(lines.Text()); strings.HasPrefix(line, "export ") {
			export = line
		}
		if strings.HasPrefix(lines.Text(), "Ctrl-C") && export != "" {
			go io.Copy(io.Discard, out)
			return export
		}
	}
	t.Fatalf("make demo ended:\n%s%s", seen.String(), stderr.String())
	return ""
}

// What the README shows of tokens and webhooks is valid, put together.
func TestTheReadmesTokens(t *testing.T) {
	text := `
store: sqlite:///var/lib/sallyport/sallyport.db
pepper: {env: PEPPER}
apis:
  orders:
    hosts: [api.example.com]
    scopes: ["orders:read"]
    credentials:
      read: [{header: Authorization, scheme: Bearer}]
`
	for _, b := range readmeBlocks(t, "Tokens and webhooks") {
		if b.language == "yaml" {
			text += b.text
		}
	}
	file := filepath.Join(t.TempDir(), "sallyport.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(binary, "check", "-c", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, text)
	}
}

// The configuration that the README shows is valid.
func TestTheReadmesConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sallyport.yaml")
	for _, b := range readmeBlocks(t, "One whole configuration") {
		if b.language != "yaml" {
			continue
		}
		if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(binary, "check", "-c", file).CombinedOutput(); err != nil {
			t.Errorf("README.md:%d: %v\n%s", b.line, err, out)
		}
		return
	}
	t.Error("the README shows no configuration")
}

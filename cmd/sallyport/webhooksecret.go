package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// secretSource is where a command reads the secret of a sender from: never from its
// arguments, which stand in the shell's history and in the list of processes.
type secretSource struct {
	env, file string
	stdin     bool
}

// flags adds the flags to c.
func (x *secretSource) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&x.env, "secret-env", "", "the environment variable that holds the secret")
	f.StringVar(&x.file, "secret-file", "", "the file that holds the secret; a newline at its end is none of it")
	f.BoolVar(&x.stdin, "secret-stdin", false, "read the secret from standard input; a newline at its end is none of it")
	c.MarkFlagsMutuallyExclusive("secret-env", "secret-file", "secret-stdin")
}

// given reports whether a flag says where the secret is.
func (x *secretSource) given() bool { return x.env != "" || x.file != "" || x.stdin }

// read reads the secret. It never stands in an error.
func (x *secretSource) read(in io.Reader, getenv func(string) string) (text []byte, err error) {
	switch {
	case x.env != "":
		text = []byte(getenv(x.env))
	case x.file != "":
		if text, err = os.ReadFile(x.file); err != nil {
			return nil, fmt.Errorf("read the secret: %w", err)
		}
	default:
		if text, err = io.ReadAll(in); err != nil {
			return nil, fmt.Errorf("read the secret from standard input: %w", err)
		}
	}
	if x.env == "" {
		text = []byte(strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"))
	}
	if len(text) == 0 {
		return nil, errors.New("the secret is empty")
	}
	return text, nil
}

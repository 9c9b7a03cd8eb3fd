package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
)

// lineReader reads a text line by line, and knows where it is.
type lineReader struct {
	in   *bufio.Reader
	name string // of the file; "": standard input
	n    int    // of the line that was read last, from 1
	read int64  // bytes so far
	long []byte
}

func newLineReader(from io.Reader, name string) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(from, 64<<10), name: name}
}

// at names line n.
func (l *lineReader) at(n int) string {
	if l.name == "" {
		return fmt.Sprintf("line %d", n)
	}
	return fmt.Sprintf("%s:%d", l.name, n)
}

// next returns the next line; io.EOF behind the last. A line of more than
// batchBytes is bufio.ErrTooLong, and the one behind it comes next.
func (l *lineReader) next() (string, error) {
	l.long = l.long[:0]
	for begun := false; ; begun = true {
		part, err := l.in.ReadSlice('\n')
		l.read += int64(len(part))
		if !begun && (err == nil || len(part) > 0) {
			l.n++
		}
		if room := batchBytes + 1 - len(l.long); room > 0 { // the rest of a long line is read past
			l.long = append(l.long, part[:min(len(part), room)]...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return "", fmt.Errorf("read %s: %w", l.at(l.n+1), err)
		case err != nil && len(l.long) == 0:
			return "", io.EOF
		case len(l.long) > batchBytes:
			return "", bufio.ErrTooLong
		}
		return string(l.long), nil
	}
}

// restOf returns how many bytes are left of a file, 0 where nobody knows.
func restOf(from io.Reader) int64 {
	file, ok := from.(*os.File)
	if !ok {
		return 0
	}
	about, err := file.Stat()
	if err != nil || !about.Mode().IsRegular() {
		return 0
	}
	at, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	return about.Size() - at
}

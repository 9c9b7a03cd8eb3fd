package tests

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sallyport/sallyport"

// source is one file of the project.
type source struct {
	name string // below the project's folder, with slashes
	text string
	file *ast.File // nil: not Go
	fset *token.FileSet
}

// room is the folder of s, "." for the root.
func (s *source) room() string { return path.Dir(s.name) }

func (s *source) isTest() bool { return strings.HasSuffix(s.name, "_test.go") }

// at says where a node of s is.
func (s *source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.name, s.fset.Position(n.Pos()).Line)
}

// under reports whether s is in one of folders, or below.
func (s *source) under(folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return inside(s.room(), f) })
}

func inside(folder, of string) bool { return folder == of || strings.HasPrefix(folder, of+"/") }

// imports yields the imported paths and where they stand.
func (s *source) imports(yield func(path, at string) bool) {
	for _, i := range s.file.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err == nil && !yield(path, s.at(i)) {
			return
		}
	}
}

// house is all the source that rules look at.
type house []*source

// goFiles are those of h, test files only where tests is set.
func (h house) goFiles(tests bool) (files []*source) {
	for _, s := range h {
		if s.file != nil && (tests || !s.isTest()) {
			files = append(files, s)
		}
	}
	return files
}

// parse makes a house of texts by file name.
func parse(t testing.TB, texts map[string]string) (h house) {
	t.Helper()
	fset := token.NewFileSet()
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		s := &source{name: name, text: texts[name], fset: fset}
		if strings.HasSuffix(name, ".go") {
			var err error
			if s.file, err = parser.ParseFile(fset, name, s.text, parser.ParseComments|parser.SkipObjectResolution); err != nil {
				t.Fatal(err)
			}
		}
		h = append(h, s)
	}
	return h
}

// real is the house that this test stands in.
func real(t testing.TB) house {
	t.Helper()
	texts := make(map[string]string)
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(file, ".."+string(filepath.Separator)))
		if d.IsDir() {
			if base := d.Name(); file != ".." && (strings.HasPrefix(base, ".") || base == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if ext := path.Ext(name); ext != ".go" && ext != ".http" && ext != ".txtar" {
			return nil
		}
		text, err := os.ReadFile(file)
		texts[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, texts)
}

package directory

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/yamltree"
)

// Loader reads folders again and again. It is not safe for concurrent use.
type Loader struct {
	folders []string
	files   map[string]*file // by path
	missing []sallyport.Fault
	loaded  Loaded
}

// Loaded is what came of a Load.
type Loaded struct {
	Set     *Set // that is in force
	Changed bool // the set is another one than the time before, or the first
	Ready   bool // it is known what is limited: no file is there that was never good

	Faults  []sallyport.Fault // of all files as they stand; such a file is kept out
	Notices []sallyport.Fault // of files in force: what is probably not meant, and does no harm
}

// NewLoader returns a loader of what stands in folders.
func NewLoader(folders ...string) *Loader {
	return &Loader{folders: folders, files: map[string]*file{}}
}

// file is one file as it was when it was read last.
type file struct {
	info    fs.FileInfo // nil where it could not be read
	settled bool        // nobody can have written to it since without changing info
	sum     [sha256.Size]byte
	reading

	good bool   // it has been in force
	owns string // the domain that it gave when it was last good
}

// Load looks for changes and returns the set that is in force, and what there is
// to say of all files as they stand. If no file has another size, time or inode,
// Load costs a stat for each and parses nothing.
//
// A file with a fault is kept out by itself: the domain that it last gave, and
// the one that it names, stay as they were. So do all files of a folder that
// cannot be read, and a domain that two files claim. Ready is false until there
// was a Load in which every folder could be read and had a file, and no file was
// there that had never been good; then it is true for good.
func (l *Loader) Load() Loaded {
	paths, missing := l.find()
	dirty := l.loaded.Set == nil || !slices.Equal(missing, l.missing)
	l.missing = missing
	for _, path := range paths {
		f := l.files[path]
		if f == nil {
			f = &file{}
			l.files[path] = f
			dirty = true
		}
		dirty = f.refresh(path) || dirty
	}
	before := len(l.files)
	maps.DeleteFunc(l.files, func(path string, _ *file) bool {
		_, there := slices.BinarySearch(paths, path)
		return !there
	})
	l.loaded.Changed = false
	if dirty || len(l.files) != before {
		l.assemble(paths)
	}
	now := l.loaded
	now.Faults, now.Notices = slices.Clone(now.Faults), slices.Clone(now.Notices)
	return now
}

// settle is how far apart two writes must be to be told by a file's time, on
// whatever file system.
const settle = 3 * time.Second

// refresh reads the file at path if it is not what it was, and reports whether
// that says something new.
func (f *file) refresh(path string) (news bool) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("is not a regular file")
	}
	if err == nil && f.settled && os.SameFile(info, f.info) && info.Size() == f.info.Size() && info.ModTime().Equal(f.info.ModTime()) {
		return false
	}
	started := time.Now()
	var text []byte
	if err == nil {
		text, err = readFile(path)
	}
	if err != nil {
		fault := unreadable(path, err, "the domain that it last gave stays in force")
		news = f.info != nil || !slices.Equal(f.faults, []sallyport.Fault{fault})
		f.info, f.settled, f.reading = nil, false, reading{faults: []sallyport.Fault{fault}}
		return news
	}
	sum := sha256.Sum256(text)
	news = f.info == nil || sum != f.sum
	if news {
		f.reading = read(path, text)
	}
	f.info, f.sum, f.settled = info, sum, info.ModTime().Before(started.Add(-settle))
	return news
}

// readFile reads no more of a file than is needed to see that it is too large.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var text bytes.Buffer
	_, err = io.Copy(&text, io.LimitReader(f, maxFile+1))
	return text.Bytes(), err
}

func unreadable(path string, err error, hint string) sallyport.Fault {
	var e *fs.PathError
	if errors.As(err, &e) {
		err = e.Err
	}
	return sallyport.Fault{File: path, Text: "cannot be read: " + err.Error(), Hint: hint}
}

// assemble puts together what is in force now.
func (l *Loader) assemble(paths []string) {
	claims := make(map[string][]string)
	for _, path := range paths {
		if f := l.files[path]; f.domain != nil {
			claims[f.name] = append(claims[f.name], path)
		}
	}
	now := make(map[string]*domain, len(claims))
	for name, by := range claims {
		if f := l.files[by[0]]; len(by) == 1 {
			now[name], f.owns, f.good = f.domain, name, true
		}
	}
	faults, notices := slices.Clone(l.missing), []sallyport.Fault(nil)
	ready := len(l.missing) == 0
	for _, path := range paths {
		f := l.files[path]
		ready = ready && f.good
		by := claims[f.name]
		if f.domain != nil && len(by) == 1 {
			notices = append(notices, f.notices...)
			continue
		}
		faults = append(faults, f.faults...)
		if f.domain != nil && by[0] != path {
			faults = append(faults, sallyport.Fault{File: path, Line: f.line, Path: "domain",
				Text: yamltree.Quote(f.name) + " is also the domain of " + by[0], Hint: "neither is taken; one file describes one domain"})
		}
		for _, name := range []string{f.owns, f.name} {
			if last := l.inForce(name); now[name] == nil && last != nil {
				now[name] = last
			}
		}
	}
	l.loaded.Faults, l.loaded.Notices = faults, notices
	l.loaded.Ready = l.loaded.Ready || ready
	if l.loaded.Set == nil || !maps.Equal(now, l.loaded.Set.domains) {
		l.loaded.Set, l.loaded.Changed = &Set{domains: now}, true
	}
}

func (l *Loader) inForce(name string) *domain {
	if l.loaded.Set == nil {
		return nil
	}
	return l.loaded.Set.domains[name]
}

// Bounds of what is looked through for files.
const (
	maxFiles   = 1000
	maxEntries = 10_000
	maxFolders = 32 // one in another
)

// find returns the paths of the files, sorted, and what is wrong with folders.
// The files of a folder that cannot be read are those of the time before.
func (l *Loader) find() (paths []string, missing []sallyport.Fault) {
	for _, folder := range l.folders {
		s := search{known: l.files}
		s.folder(filepath.Clean(folder), 0)
		switch {
		case s.over:
			s = search{known: l.files}
			s.failed(filepath.Clean(folder), sallyport.Fault{File: folder,
				Text: fmt.Sprintf("has more than %d files *.yaml, more than %d entries or folders more than %d deep", maxFiles, maxEntries, maxFolders),
				Hint: "name a folder that holds rules alone"})
		case len(s.paths) == 0 && len(s.missing) == 0:
			s.missing = append(s.missing, sallyport.Fault{File: folder, Text: "holds no file *.yaml",
				Hint: "name a folder with files in envoyproxy/ratelimit's format"})
		}
		paths, missing = append(paths, s.paths...), append(missing, s.missing...)
	}
	slices.Sort(paths)
	return slices.Compact(paths), missing
}

// search looks through one folder.
type search struct {
	known   map[string]*file
	paths   []string
	missing []sallyport.Fault
	entries int
	over    bool // there is more than will be looked at
}

func (s *search) folder(path string, depth int) {
	entries, err := os.ReadDir(path)
	if err != nil {
		s.failed(path, unreadable(path, err, "what it last gave stays in force"))
		return
	}
	s.entries += len(entries)
	s.over = s.over || depth > maxFolders || s.entries > maxEntries
	for _, e := range entries {
		name := filepath.Join(path, e.Name())
		switch ext := filepath.Ext(name); {
		case s.over:
			return
		case strings.HasPrefix(e.Name(), "."):
		case e.IsDir():
			s.folder(name, depth+1)
		case ext == ".yaml" || ext == ".yml":
			s.paths = append(s.paths, name)
			s.over = len(s.paths) > maxFiles
		}
	}
}

// failed notes a folder that could not be read, and what is known of it.
func (s *search) failed(path string, fault sallyport.Fault) {
	s.missing = append(s.missing, fault)
	for name := range s.known {
		if below, err := filepath.Rel(path, name); err == nil && filepath.IsLocal(below) {
			s.paths = append(s.paths, name)
		}
	}
}

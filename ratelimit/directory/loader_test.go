package directory

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// folder is a folder under test and its loader.
type folder struct {
	t    *testing.T
	path string
	l    *Loader
}

func newFolder(t *testing.T) *folder {
	path := t.TempDir()
	return &folder{t, path, NewLoader(path)}
}

func (f *folder) write(name, text string) {
	f.t.Helper()
	name = filepath.Join(f.path, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) remove(name string) {
	f.t.Helper()
	if err := os.RemoveAll(filepath.Join(f.path, name)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) link(target, name string) {
	f.t.Helper()
	// As Kubernetes does, so that the name is always there.
	next := filepath.Join(f.path, name+"_next")
	if err := os.Symlink(target, next); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(f.path, name)); err != nil {
		f.t.Fatal(err)
	}
}

// load loads and holds what came against what is wanted: the limits of key a by
// domain, such as "mall=2 shop=1", and a part of each fault.
func (f *folder) load(rules string, changed, ready bool, faults ...string) *Set {
	f.t.Helper()
	loaded := f.l.Load()
	if got := limitsOf(loaded.Set); got != rules || loaded.Changed != changed || loaded.Ready != ready {
		f.t.Errorf("got %q, changed %v, ready %v; want %q, %v, %v", got, loaded.Changed, loaded.Ready, rules, changed, ready)
	}
	if !slices.EqualFunc(loaded.Faults, faults, func(got sallyport.Fault, want string) bool {
		return strings.Contains(strings.TrimPrefix(got.String(), f.path+"/"), want)
	}) {
		f.t.Errorf("got the faults\n%swant\n%s", lines(loaded.Faults), strings.Join(faults, "\n"))
	}
	return loaded.Set
}

func limitsOf(s *Set) string {
	var all []string
	for _, name := range s.Domains() {
		rule, _ := s.Match(name, []Entry{{"a", ""}}, nil)
		requests := "?"
		if rule != nil {
			requests = string(rune('0' + rule.Requests))
		}
		all = append(all, name+"="+requests)
	}
	return strings.Join(all, " ")
}

// one is a file of domain whose key a has a limit of one digit.
func one(domain, requests string) string {
	return "domain: " + domain + "\ndescriptors:\n- key: a\n  rate_limit: {unit: day, requests_per_unit: " + requests + "}\n"
}

func TestABadFileIsKeptOutByItself(t *testing.T) {
	f := newFolder(t)
	f.write("shop.yaml", one("shop", "1"))
	f.write("sub/mall.yml", one("mall", "1"))
	f.load("mall=1 shop=1", true, true)
	f.load("mall=1 shop=1", false, true)

	f.write("shop.yaml", one("shop", "x"))
	f.write("sub/mall.yml", one("mall", "2"))
	f.load("mall=2 shop=1", true, true, "shop.yaml:4: descriptors[0].rate_limit.requests_per_unit: is text")
	f.load("mall=2 shop=1", false, true, "shop.yaml:4: ")

	f.write("shop.yaml", "\t") // its domain cannot be read any more
	f.write("new.yaml", "domain: new\ndescriptors: 5\n")
	f.load("mall=2 shop=1", false, true, "new.yaml:2: ", "shop.yaml:1: ")

	f.write("shop.yaml", one("shop", "3"))
	f.remove("new.yaml")
	f.load("mall=2 shop=3", true, true)

	f.remove("shop.yaml")
	f.load("mall=2", true, true)
}

func TestNotReadyBeforeEveryFileWasGood(t *testing.T) {
	f := newFolder(t)
	f.write("shop.yaml", one("shop", "1"))
	f.write("mall.yaml", one("mall", ""))
	f.load("shop=1", true, false, "mall.yaml:4: ")
	f.load("shop=1", false, false, "mall.yaml:4: ")
	f.write("shop.yaml", one("shop", ""))
	f.write("mall.yaml", one("mall", "1"))
	f.load("mall=1 shop=1", true, true, "shop.yaml:4: ") // each has been good
	f.write("late.yaml", "domain: late\nx: 1\n")
	f.load("mall=1 shop=1", false, true, "late.yaml:2: ", "shop.yaml:4: ")
}

func TestNotReadyWithoutAFolder(t *testing.T) {
	f := newFolder(t)
	f.load("", true, false, "holds no file *.yaml")
	f.write("shop.txt", one("shop", "1"))
	f.write(".hidden.yaml", one("shop", "1"))
	f.write(".hidden/shop.yaml", one("shop", "1"))
	f.load("", false, false, "holds no file *.yaml")
	f.write("shop.yaml", one("shop", "1"))
	f.load("shop=1", true, true)

	if err := os.Rename(f.path, f.path+".away"); err != nil {
		t.Fatal(err)
	}
	f.load("shop=1", false, true, "cannot be read: no such file or directory (what it last gave stays in force)", "shop.yaml: cannot be read: no such file")
	f.load("shop=1", false, true, "cannot be read", "shop.yaml: cannot be read")
	if err := os.Rename(f.path+".away", f.path); err != nil {
		t.Fatal(err)
	}
	f.load("shop=1", true, true)

	l := NewLoader(filepath.Join(f.path, "shop.yaml")).Load()
	if limitsOf(l.Set) != "" || !l.Changed || l.Ready || len(l.Faults) != 1 || !strings.Contains(l.Faults[0].Text, "not a directory") {
		t.Errorf("a file for a folder: got %q, %+v", limitsOf(l.Set), l)
	}
	if l := NewLoader().Load(); l.Set.Known("") || !l.Ready || len(l.Faults) > 0 {
		t.Errorf("no folders: got %+v", l)
	}
}

func TestADomainThatTwoFilesClaimStaysAsItWas(t *testing.T) {
	f := newFolder(t)
	f.write("b.yaml", one("shop", "1"))
	f.write("c.yaml", one("mall", "1"))
	f.load("mall=1 shop=1", true, true)
	f.write("a.yaml", one("shop", "2"))
	f.load("mall=1 shop=1", false, true, `b.yaml:1: domain: "shop" is also the domain of `+f.path+"/a.yaml (neither is taken")
	f.write("b.yaml", one("shop", "3"))
	f.write("c.yaml", one("shop", "4")) // what it gave before stays, too
	f.load("mall=1 shop=1", false, true, "b.yaml:1: domain: ", "c.yaml:1: domain: ")
	f.remove("b.yaml")
	f.remove("c.yaml")
	f.load("shop=2", true, true)

	f = newFolder(t)
	f.write("a.yaml", one("shop", "1"))
	f.write("b.yaml", one("shop", "2"))
	f.load("", true, false, "b.yaml:1: ")
	f.remove("a.yaml")
	f.load("shop=2", true, true)
}

func TestADomainFollowsItsFile(t *testing.T) {
	f := newFolder(t)
	f.write("a.yaml", one("shop", "1"))
	f.load("shop=1", true, true)
	// It moves, and the old place breaks: the good file counts.
	f.write("a.yaml", "domain: [")
	f.write("b.yaml", one("shop", "2"))
	f.load("shop=2", true, true, "a.yaml:1: ")
	// It moves into a file that is bad: it names what stays.
	f.remove("a.yaml")
	f.remove("b.yaml")
	f.write("c.yaml", one("shop", "x"))
	f.load("shop=2", false, true, "c.yaml:4: ")
	f.write("c.yaml", one("mall", "1"))
	f.load("mall=1", true, true)
}

// TestAConfigMapIsFollowed: Kubernetes mounts links to ..data, which it swaps.
func TestAConfigMapIsFollowed(t *testing.T) {
	f := newFolder(t)
	f.write("..2026_01/shop.yaml", one("shop", "1"))
	f.write("..2026_02/shop.yaml", one("shop", "2"))
	long := time.Now().Add(-time.Hour)
	for _, name := range []string{"..2026_01/shop.yaml", "..2026_02/shop.yaml"} {
		if err := os.Chtimes(filepath.Join(f.path, name), long, long); err != nil {
			t.Fatal(err)
		}
	}
	f.link("..2026_01", "..data")
	f.link("..data/shop.yaml", "shop.yaml")
	f.load("shop=1", true, true)
	f.link("..2026_02", "..data")
	f.remove("..2026_01")
	f.load("shop=2", true, true)
	f.load("shop=2", false, true)
}

func TestLinks(t *testing.T) {
	f := newFolder(t)
	f.write("real/shop.yaml", one("shop", "1"))
	f.link("nowhere", "lost.yaml")
	f.link("real", "folder.yaml")
	f.link("real", "again") // would give shop twice
	f.load("shop=1", true, false, "folder.yaml: cannot be read: is not a regular file", "lost.yaml: cannot be read: no such file")

	// The folder itself may be a link that is swapped.
	at := newFolder(t)
	at.write("one/shop.yaml", one("shop", "1"))
	at.write("two/shop.yaml", one("shop", "2"))
	at.link("one", "now")
	g := &folder{t, filepath.Join(at.path, "now"), NewLoader(filepath.Join(at.path, "now"))}
	g.load("shop=1", true, true)
	at.link("two", "now")
	g.load("shop=2", true, true)
}

// TestWhatDidNotChangeIsNotRead: behind the back of its size and time, a file is
// what it was; unless the time is so fresh that a write may share it.
func TestWhatDidNotChangeIsNotRead(t *testing.T) {
	for _, c := range []struct {
		age  time.Duration
		want string
	}{{time.Hour, "shop=1"}, {0, "shop=2"}} {
		f := newFolder(t)
		at := time.Now().Add(-c.age)
		for i, requests := range []string{"1", "2"} {
			f.write("shop.yaml", one("shop", requests))
			if err := os.Chtimes(filepath.Join(f.path, "shop.yaml"), at, at); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				f.load("shop=1", true, true)
			}
		}
		f.load(c.want, c.want != "shop=1", true)
	}
}

func TestTheSameTextIsNoChange(t *testing.T) {
	f := newFolder(t)
	f.write("shop.yaml", one("shop", "1"))
	set := f.load("shop=1", true, true)
	f.remove("shop.yaml")
	f.write("shop.yaml", one("shop", "1"))
	if again := f.load("shop=1", false, true); again != set {
		t.Error("got another set")
	}
}

func TestAFolderThatIsNoFolderOfRules(t *testing.T) {
	f := newFolder(t)
	f.write("shop.yaml", one("shop", "1"))
	f.load("shop=1", true, true)
	for i := range maxFiles + 1 {
		f.write("many/"+string(rune('a'+i%26))+strings.Repeat("x", i/26)+".yaml", "")
	}
	f.load("shop=1", false, true, "has more than 1000 files *.yaml")
	f.remove("many")
	f.write(strings.Repeat("d/", maxFolders+2)+"x.yaml", "")
	f.load("shop=1", false, true, "folders more than 32 deep")
}

// TestAFileWithNoticesIsInForce: and they are told for as long as it is.
func TestAFileWithNoticesIsInForce(t *testing.T) {
	f := newFolder(t)
	odd := strings.Replace(one("shop", "1"), "unit: day", "unit: day, replaces: [{name: nobody}]", 1)
	f.write("shop.yaml", odd)
	f.load("shop=1", true, true)
	for range 2 {
		l := f.l.Load()
		if len(l.Notices) != 1 || !strings.Contains(l.Notices[0].String(), "shop.yaml:4: descriptors[0].rate_limit.replaces[0].name: no rate_limit of this domain has the name") {
			t.Errorf("got %v", l.Notices)
		}
		l.Notices[0].Text = "changed"
	}
	f.write("again.yaml", one("shop", "2")) // now neither is in force by itself
	if l := f.l.Load(); len(l.Notices) != 0 || len(l.Faults) != 1 {
		t.Errorf("claimed twice: got %+v", l)
	}
	f.remove("again.yaml")
	f.write("shop.yaml", one("shop", "1"))
	if l := f.l.Load(); len(l.Notices) != 0 || len(l.Faults) != 0 {
		t.Errorf("mended: got %+v", l)
	}
}

func TestFaultsAreTheCallersOwn(t *testing.T) {
	f := newFolder(t)
	f.write("shop.yaml", "")
	f.l.Load().Faults[0].Text = "changed"
	f.load("", false, false, "is empty")
}

// TestFoldersAreOneSet: what stands in several folders, or in one named twice.
func TestFoldersAreOneSet(t *testing.T) {
	f, g := newFolder(t), newFolder(t)
	f.write("a.yaml", one("shop", "1"))
	g.write("a.yaml", one("mall", "2"))
	f.l = NewLoader(f.path, g.path, f.path+"/")
	f.load("mall=2 shop=1", true, true)
}

func BenchmarkLoadUnchanged(b *testing.B) {
	path := b.TempDir()
	long := time.Now().Add(-time.Hour)
	for i := range 20 {
		name := filepath.Join(path, "f"+string(rune('a'+i))+".yaml")
		if err := os.WriteFile(name, []byte(one("d"+string(rune('a'+i)), "1")), 0o644); err != nil {
			b.Fatal(err)
		}
		if err := os.Chtimes(name, long, long); err != nil {
			b.Fatal(err)
		}
	}
	l := NewLoader(path)
	l.Load()
	b.ReportAllocs()
	for b.Loop() {
		if l.Load().Changed {
			b.Fatal("changed")
		}
	}
}

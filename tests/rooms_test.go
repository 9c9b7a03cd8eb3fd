package tests

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// layers are the rooms from the bottom up. A room imports from lower layers and
// within itself (internal/store and what is below it are one room), never from
// its neighbours: what two of them share belongs further down.
var layers = [][]string{
	{"."},
	{"internal/apikey", "internal/password", "internal/pattern", "internal/proof", "internal/render", "internal/seal", "internal/telemetry", "internal/token", "internal/webhook", "internal/wire", "internal/yamltree"},
	{"internal/issuer", "internal/visit"},
	{"extauthz", "ratelimit", "envoy", "internal/accept", "internal/anomaly", "internal/config", "internal/admin", "internal/oauth", "internal/signin", "internal/store", "internal/envoyproc", "examples"},
	{"internal/app"},
	{"internal/demo"},
	{"cmd/sallyport"},
}

// apart are rooms that no other imports, save tests where it says so.
var apart = []string{
	"internal/testenv", // for tests
	"internal/tools",   // programs for those who work on the project
	"tests",
}

// room returns the room that folder belongs to and its layer; -1 where it
// stands apart, and false where nobody has given it a place.
func room(folder string) (name string, layer int, ok bool) {
	for i, rooms := range layers {
		for _, r := range rooms {
			if folder == r || r != "." && inside(folder, r) {
				return r, i, true
			}
		}
	}
	for _, r := range apart {
		if inside(folder, r) {
			return r, -1, true
		}
	}
	return "", 0, false
}

func importsPointDown(h house) (faults []string) {
	for _, s := range h.goFiles(false) {
		from, layer, ok := room(s.room())
		if !ok {
			faults = append(faults, fmt.Sprintf("%s: folder %s has no place in layers of tests/rooms_test.go", s.name, s.room()))
			continue
		}
		for imported, at := range s.imports {
			folder, ours := ourFolder(imported)
			if !ours || layer < 0 {
				continue
			}
			if to, below, _ := room(folder); to != from && (below < 0 || below >= layer) {
				faults = append(faults, fmt.Sprintf("%s: %s may not import %s", at, from, folder))
			}
		}
	}
	return faults
}

// ourFolder is the folder of a package of this module.
func ourFolder(imported string) (folder string, ours bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// impure is what the vocabulary may not import: I/O, clocks and locks.
var impure = []string{"context", "database", "embed", "io", "log", "math/rand", "net/http", "os", "runtime", "sync", "syscall", "testing"}

// vocabularyIsPure: the root imports the standard library only, and neither it
// nor the pure rooms read the clock.
func vocabularyIsPure(h house) (faults []string) {
	for _, s := range h.goFiles(false) {
		if s.room() == "." {
			for imported, at := range s.imports {
				if imported == "net" || strings.Contains(imported, ".") ||
					slices.ContainsFunc(impure, func(p string) bool { return inside(imported, p) }) {
					faults = append(faults, fmt.Sprintf("%s: the vocabulary may not import %s", at, imported))
				}
			}
		}
		if s.room() == "." || s.under("internal/apikey", "internal/pattern", "internal/render", "internal/yamltree") {
			faults = append(faults, readsClock(s)...)
		}
	}
	return faults
}

var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"}

func readsClock(s *source) (faults []string) {
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && slices.Contains(clock, sel.Sel.Name) {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" {
				faults = append(faults, fmt.Sprintf("%s: time.%s: time is an argument here", s.at(n), sel.Sel.Name))
			}
		}
		return true
	})
	return faults
}

// home says which rooms may import a module of others; tests may in more.
type home struct {
	module       string
	rooms, tests []string
}

var homes = []home{
	{"github.com/danielgtaylor/huma/v2", []string{"internal/admin"}, nil},
	{"github.com/dgraph-io/ristretto/v2", []string{"extauthz"}, nil},
	{"github.com/cespare/xxhash/v2", []string{"extauthz"}, nil}, // the second hash of ristretto's keys
	{"golang.org/x/sync", []string{"extauthz"}, nil},
	// The wire of both services is our own; the server that carries it is grpc's. The
	// tests of envoy stand in for both services, those from outside ask as a
	// proxy would.
	{"google.golang.org/grpc", []string{"extauthz", "ratelimit", "internal/app", "internal/wire", "envoy/xds"}, []string{"envoy", "tests/e2e"}},
	{"google.golang.org/protobuf", []string{"extauthz", "ratelimit", "internal/app", "internal/wire", "envoy/xds"}, []string{"envoy", "tests/e2e"}},
	{"google.golang.org/genproto", nil, []string{"extauthz", "envoy"}},
	// Generated types: ratelimit's server speaks them, app registers them. For
	// extauthz and envoy they are what tests compare with; envoy/xds sends them.
	{"github.com/envoyproxy/go-control-plane", []string{"ratelimit", "internal/app", "envoy/xds"}, []string{"extauthz", "envoy", "tests/e2e"}},
	{"github.com/pressly/goose/v3", []string{"internal/store/sqlite"}, nil},
	{"modernc.org/sqlite", []string{"internal/store/sqlite"}, []string{"tests/e2e"}}, // which holds the file's lock, as another program might
	{"github.com/prometheus/client_golang", []string{"internal/telemetry", "internal/app"}, nil},
	{"github.com/spf13/cobra", []string{"cmd/sallyport"}, nil},
	// Only yamltree parses what operators write; the other two read its nodes. Envoy's configuration
	// is YAML too, which tests read back, and a test's API server shows objects.
	{"go.yaml.in/yaml/v3", []string{"internal/yamltree", "internal/config", "ratelimit/directory", "internal/testenv", "envoy/xds"}, []string{"envoy", "tests/e2e"}},
	// A second opinion on files in its own format, and what tests compare with.
	{"github.com/envoyproxy/ratelimit", []string{"ratelimit/directory"}, []string{"ratelimit"}},
	{"github.com/lyft/gostats", nil, []string{"ratelimit"}}, // its service is given statistics
	{"github.com/redis/rueidis", []string{"ratelimit/redis"}, nil},
	{"golang.org/x/sys/unix", []string{"ratelimit/redis"}, nil}, // whether a connection holds an answer
	{"golang.org/x/crypto", []string{"internal/password"}, nil},
	{"github.com/go-jose/go-jose/v4", []string{"internal/token", "internal/issuer"}, nil},
	// What others' programs use of OAuth; those of our users stand outside.
	{"golang.org/x/oauth2", []string{"internal/signin"}, []string{"tests/e2e"}},
	{"github.com/coreos/go-oidc/v3", []string{"internal/signin"}, []string{"tests/e2e"}},
	{"github.com/chromedp", nil, []string{"tests/e2e"}},
	// For tests, and for the suites that tests share.
	{"github.com/google/go-cmp", []string{"internal/store/storetest"}, []string{"."}},
	{"pgregory.net/rapid", []string{"ratelimit/counterstest"}, []string{"ratelimit"}},
	{"github.com/rogpeppe/go-internal", nil, []string{"cmd/sallyport"}},
}

// ownModules are modules of their own, so that nobody else downloads what they need.
var ownModules = []string{"tests/load", "tests/istio", "tests/envoygateway", "tests/kubernetes"}

// dependenciesHaveHomes: an import from outside stands in homes, and only there.
func dependenciesHaveHomes(h house) (faults []string) {
	for _, s := range h.goFiles(true) {
		if s.under(ownModules...) {
			continue
		}
		for imported, at := range s.imports {
			first, _, _ := strings.Cut(imported, "/")
			if _, ours := ourFolder(imported); ours || !strings.Contains(first, ".") {
				continue
			}
			if !livesAt(imported, s) {
				faults = append(faults, fmt.Sprintf("%s: %s does not live in %s (homes of tests/rooms_test.go)", at, imported, s.room()))
			}
		}
	}
	return faults
}

func livesAt(imported string, s *source) bool {
	for _, m := range homes {
		if !inside(imported, m.module) {
			continue
		}
		if s.under(m.rooms...) || s.isTest() && (slices.Contains(m.tests, ".") || s.under(m.tests...)) {
			return true
		}
	}
	return false
}

// packagesAreDocumented: one file of every package says what it is for.
func packagesAreDocumented(h house) (faults []string) {
	documented := make(map[string]bool)
	for _, s := range h.goFiles(true) {
		documented[s.room()] = documented[s.room()] || startsRight(s)
	}
	for _, folder := range slices.Sorted(maps.Keys(documented)) {
		if !documented[folder] {
			faults = append(faults, folder+": no comment says what this package is for (Package NAME … or, for a command, Command NAME …)")
		}
	}
	return faults
}

func startsRight(s *source) bool {
	want := "Package " + s.file.Name.Name + " "
	if s.file.Name.Name == "main" {
		want = "Command " + path.Base(s.room()) + " "
	}
	return !s.isTest() && s.file.Doc != nil && strings.HasPrefix(s.file.Doc.Text(), want)
}

var apiNames = []string{"vaultwares", "aivric", "aiia", "cybervault", "cyberhaven"}

// examplesAreData: no code knows the APIs that prove the gate general.
func examplesAreData(h house) (faults []string) {
	for _, s := range h.goFiles(true) {
		if s.under("examples", "tests") {
			continue
		}
		text := strings.ToLower(s.text)
		for _, name := range apiNames {
			if before, _, found := strings.Cut(text, name); found {
				faults = append(faults, fmt.Sprintf("%s:%d: code names the example %s", s.name, 1+strings.Count(before, "\n"), name))
			}
		}
	}
	return faults
}

// The longest that a function and a file may be, tests excepted.
const (
	functionLines = 80
	fileLines     = 500
)

func nothingIsTooLong(h house) (faults []string) {
	for _, s := range h.goFiles(false) {
		if n := strings.Count(s.text, "\n"); n > fileLines {
			faults = append(faults, fmt.Sprintf("%s: %d lines, over %d", s.name, n, fileLines))
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1; n > functionLines {
				faults = append(faults, fmt.Sprintf("%s: %s has %d lines, over %d", s.at(f), f.Name.Name, n, functionLines))
			}
		}
	}
	return faults
}

// nothingIsLeftForLater: what is not done is an issue, not a mark in the code.
func nothingIsLeftForLater(h house) (faults []string) {
	for _, s := range h.goFiles(true) {
		for _, group := range s.file.Comments {
			for _, c := range group.List {
				if m := mark.FindString(c.Text); m != "" {
					faults = append(faults, fmt.Sprintf("%s: a mark %q", s.at(c), m))
				}
			}
		}
	}
	return faults
}

var mark = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK|WIP)\b`)

// served are the lines of the acceptance list that this version claims.
var served = strings.Fields(`G1 G2 G3 G4 G5 G6 G7 G8 G9 G11 G12 G13 V1 V2 V3 V4 V5 V6 V7
	A2 A3 A5 A6 A10 I1 I2 I3 I4 I5 C1 C2 C3 C4 C5 C6 H1 H2 H3 H4 H5 V8 V9 A1 A4`)

// promisesAreProved: each line that is claimed is named by the test, script or
// request that proves it.
func promisesAreProved(h house) (faults []string) {
	for _, line := range served {
		name := regexp.MustCompile(`\b` + line + `\b`)
		if !slices.ContainsFunc(h, func(s *source) bool { return s.proves() && name.MatchString(s.text) }) {
			faults = append(faults, "no test, script or request names "+line)
		}
	}
	return faults
}

// proves reports whether s is a test; this one only lists the lines.
func (s *source) proves() bool {
	return s.name != "tests/rooms_test.go" && (s.file == nil || s.isTest())
}

// outside are the rooms that a black-box test knows: how to find an Envoy, how to
// run one, and how to hold a gate to an example's requests.
var outside = []string{"internal/testenv", "internal/envoyproc", "tests/requests"}

// blackBoxStaysOutside: the suites below tests speak protocols and the command
// line.
func blackBoxStaysOutside(h house) (faults []string) {
	for _, s := range h.goFiles(true) {
		for imported, at := range s.imports {
			if folder, ours := ourFolder(imported); ours && strings.HasPrefix(s.name, "tests/") && s.room() != "tests" && !slices.Contains(outside, folder) {
				faults = append(faults, fmt.Sprintf("%s: a black-box test may not import %s", at, folder))
			}
		}
	}
	return faults
}

// helpers are packages for tests, which nothing that is shipped imports.
var helpers = []string{"internal/testenv", "internal/store/storetest", "internal/store/memory", "ratelimit/counterstest", "tests/requests", "testing", "net/http/httptest"}

func helpersStayOut(h house) (faults []string) {
	for _, s := range h.goFiles(false) {
		for imported, at := range s.imports {
			folder := strings.TrimPrefix(imported, module+"/")
			if slices.Contains(helpers, folder) && !s.under(helpers...) {
				faults = append(faults, fmt.Sprintf("%s: %s is for tests", at, folder))
			}
		}
	}
	return faults
}

// roomsExist: a room that has gone is taken off the list of layers.
func roomsExist(h house) (faults []string) {
	for _, rooms := range append(layers, apart) {
		for _, r := range rooms {
			if !slices.ContainsFunc(h, func(s *source) bool { return s.under(r) }) {
				faults = append(faults, r+" has no source")
			}
		}
	}
	return faults
}

var rules = map[string]func(house) []string{
	"imports point down":         importsPointDown,
	"the vocabulary is pure":     vocabularyIsPure,
	"dependencies have homes":    dependenciesHaveHomes,
	"packages are documented":    packagesAreDocumented,
	"examples are data":          examplesAreData,
	"nothing is too long":        nothingIsTooLong,
	"nothing is left for later":  nothingIsLeftForLater,
	"promises are proved":        promisesAreProved,
	"outside, only the helper":   blackBoxStaysOutside,
	"helpers stay out of rooms":  helpersStayOut,
	"every room has its sources": roomsExist,
}

func TestTheHouseKeepsItsRules(t *testing.T) {
	h := real(t)
	if n := len(h.goFiles(true)); n < 100 {
		t.Fatalf("found %d Go files only", n)
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			for _, fault := range rule(h) {
				t.Error(fault)
			}
		})
	}
}

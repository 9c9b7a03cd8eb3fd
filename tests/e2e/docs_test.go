package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// prints are the commands of the pages that print something for others to apply.
var prints = regexp.MustCompile(`(?m)^ *(sallyport envoy (?:istio|gateway|bootstrap|filters) [^|>#\n]*)`)

// What the pages say to run prints what it should, and what they lead to is there.
func TestThePagesCommandsRun(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) < 4 {
		t.Fatal(pages, err)
	}
	ran := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range prints.FindAllStringSubmatch(string(text), -1) {
			ran++
			words := strings.Fields(strings.ReplaceAll(m[1], "sallyport.yaml", "../kubernetes/testdata/sallyport.yaml"))
			if out, err := exec.Command(binary, words[1:]...).CombinedOutput(); err != nil || len(out) == 0 {
				t.Errorf("%s: %s: %v\n%s", page, m[1], err, out)
			}
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join("../../docs", m[1])); err != nil {
				t.Errorf("%s leads to %s: %v", page, m[1], err)
			}
		}
	}
	if ran < 9 {
		t.Errorf("ran %d commands: does the pattern still fit the pages?", ran)
	}
}

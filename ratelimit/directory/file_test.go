package directory

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport"
)

var update = flag.Bool("update", false, "write what was got as what is wanted")

// TestEveryMistakeIsTold: testdata/bad has a file for each mistake, and beside
// it what an operator reads.
func TestEveryMistakeIsTold(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := read(filepath.Base(file), text)
			if len(got.faults) == 0 || got.domain != nil {
				t.Fatal("it loads")
			}
			wanted := strings.TrimSuffix(file, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(wanted, []byte(lines(got.faults)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(wanted)
			if err != nil {
				t.Fatal(err)
			}
			if lines(got.faults) != string(want) {
				t.Errorf("got\n%swant\n%s", lines(got.faults), want)
			}
		})
	}
}

// TestWhatIsOddIsNoticed: testdata/odd has files that load, there and here, and
// beside each what an operator reads.
func TestWhatIsOddIsNoticed(t *testing.T) {
	files, err := filepath.Glob("testdata/odd/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got := read(filepath.Base(file), text)
		if len(got.faults) > 0 || got.domain == nil {
			t.Errorf("%s is kept out:\n%s", file, lines(got.faults))
		}
		if complaint := opinion(file, text); complaint != "" {
			t.Errorf("%s: they say %q", file, complaint)
		}
		wanted := strings.TrimSuffix(file, ".yaml") + ".want"
		if *update {
			if err := os.WriteFile(wanted, []byte(lines(got.notices)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(wanted); err != nil || lines(got.notices) != string(want) || len(want) == 0 {
			t.Errorf("%s: got\n%swant\n%s%v", file, lines(got.notices), want, err)
		}
	}
}

func lines(faults []sallyport.Fault) string {
	var b strings.Builder
	for _, f := range faults {
		b.WriteString(f.String() + "\n")
	}
	return b.String()
}

// TestDateIsToldAsText: to envoyproxy/ratelimit there are no dates.
func TestDateIsToldAsText(t *testing.T) {
	got := read("file.yaml", []byte("domain: d\ndescriptors: 2026-01-02\n"))
	if want := "file.yaml:2: descriptors: is text, not a list (begin each item with -)\n"; lines(got.faults) != want {
		t.Errorf("got %s, want %s", lines(got.faults), want)
	}
}

func TestWhatIsTooMuchIsRefused(t *testing.T) {
	nested := func(open, end string) string {
		return strings.Repeat(open, maxDepth) + "{key: a}" + strings.Repeat(end, maxDepth)
	}
	for want, text := range map[string]string{
		"file.yaml: is larger than": "domain: shop\n" + strings.Repeat("#", maxFile),
		"is nested more than 100":   "domain: shop\ndescriptors: [" + nested("{key: a, descriptors: [", "]}") + "]",
		".metadata.a.a.":            "domain: shop\ndescriptors: [{key: a, metadata: " + nested("{a: ", "}") + "}]",
		"unknown field":             "domain: shop\n" + manyLines(maxFaults+10, "k%d: 1\n"),
		"is missing":                "domain: shop\ndescriptors: [" + strings.Repeat("{},", maxFaults+10) + "]",
	} {
		got := read("file.yaml", []byte(text))
		if len(got.faults) == 0 || len(got.faults) > maxFaults || !strings.Contains(lines(got.faults), want) {
			t.Errorf("%s: got %d faults, the first\n%.300s", want, len(got.faults), lines(got.faults))
		}
	}
}

func manyLines(n int, form string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, form, i)
	}
	return b.String()
}

// module is the folder of envoyproxy/ratelimit's source, as go.mod pins it.
func module(t *testing.T) string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/envoyproxy/ratelimit").Output()
	if err != nil || len(strings.TrimSpace(string(dir))) == 0 {
		t.Skipf("the source of envoyproxy/ratelimit is not here: %v", err)
	}
	return strings.TrimSpace(string(dir))
}

// TestFilesOfEnvoysRateLimit: what it ships as good loads unchanged, and of what
// it ships as bad we say at least as much.
func TestFilesOfEnvoysRateLimit(t *testing.T) {
	dir := module(t)
	good := 0
	for _, pattern := range []string{"examples/ratelimit/config/*.yaml", "test/config/*.yaml"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			complaint := opinion(file, text)
			got := read(file, text)
			if (complaint == "") != (len(got.faults) == 0) {
				t.Errorf("%s: they say %q, we say\n%s", filepath.Base(file), complaint, lines(got.faults))
			}
			if complaint == "" {
				good++
			}
		}
	}
	if good < 8 {
		t.Errorf("only %d files are good", good)
	}
}

// TestFormsOfTheReadme writes anew what the README of envoyproxy/ratelimit
// describes, example by example, and what YAML allows besides.
func TestFormsOfTheReadme(t *testing.T) {
	for name, text := range map[string]string{
		"values":        "domain: db\ndescriptors:\n- key: table\n  value: users\n  rate_limit: {unit: second, requests_per_unit: 500}\n- key: table\n  value: default\n  rate_limit: {unit: second, requests_per_unit: 500}\n",
		"nested":        "domain: post\ndescriptors:\n- key: kind\n  value: advert\n  descriptors:\n  - key: to\n    rate_limit: {unit: day, requests_per_unit: 5}\n- key: to\n  rate_limit: {unit: day, requests_per_unit: 100}\n",
		"blocked":       "domain: edge\ndescriptors:\n- key: remote_address\n  rate_limit: {unit: second, requests_per_unit: 10}\n- key: remote_address\n  value: 192.0.2.1\n  rate_limit: {unit: second, requests_per_unit: 0}\n",
		"unlimited":     "domain: inside\ndescriptors:\n- key: ldap\n  rate_limit:\n    unlimited: true\n",
		"shadow":        "domain: d\ndescriptors:\n- key: service\n  descriptors:\n  - key: user\n    value: a\n    rate_limit: {requests_per_unit: 10, unit: second}\n    shadow_mode: true\n",
		"replaces":      "domain: d\ndescriptors:\n- key: k\n  rate_limit: {unit: second, requests_per_unit: 5, name: narrow}\n- key: l\n  rate_limit: {unit: second, requests_per_unit: 5, replaces: [{name: narrow}]}\n",
		"detailed":      "domain: d\ndescriptors:\n- {key: k, detailed_metric: true, rate_limit: {unit: minute, requests_per_unit: 10}}\n- {key: k, value: v, rate_limit: {unit: minute, requests_per_unit: 20}}\n",
		"wildcard":      "domain: d\ndescriptors:\n- {key: k, value: v*, value_to_metric: true, rate_limit: {unit: minute, requests_per_unit: 20}}\n",
		"shared":        "domain: d\ndescriptors:\n- {key: files, value: files/*, share_threshold: true, rate_limit: {unit: hour, requests_per_unit: 10}}\n- {key: other, value: other/*, share_threshold: false, rate_limit: {unit: hour, requests_per_unit: 10}}\n",
		"quota":         "domain: d\ndescriptors: [{key: k, quota_mode: true, rate_limit: {unit: week, requests_per_unit: 7}}]\n",
		"no rules":      "domain: d\ndescriptors:\n",
		"begins ---":    "---\ndomain: d\n",
		"ends ---":      "domain: d\n---\n",
		"byte order":    "\ufeffdomain: d\n",
		"windows":       "domain: d\r\ndescriptors:\r\n- key: a\r\n",
		"scalars":       "domain: 7\ndescriptors:\n- {key: 403, value: true}\n- {key: 403, value: 2020-01-01}\n- {key: 403, value: 0x10}\n- {key: 403, value: yes}\n- {key: 403, value: !!str 1.5}\n",
		"numbers":       "domain: d\ndescriptors: [{key: a, rate_limit: {unit: DAY, requests_per_unit: 1_000}}, {key: b, rate_limit: {unit: Day, requests_per_unit: 0x10}}]\n",
		"nothing":       "domain: d\ndescriptors: [{key: a, value: , descriptors: ~, shadow_mode: }, {key: b, value: \"\"}]\n",
		"switches":      "domain: d\ndescriptors: [{key: a, shadow_mode: yes, quota_mode: Off, detailed_metric: n, value_to_metric: TRUE}]\n",
		"anchors":       "domain: d\ndescriptors:\n- &a {key: a, rate_limit: &l {unit: day, requests_per_unit: 1}}\n- {key: b, rate_limit: *l}\n- {<<: *a, key: c}\n- key: d\n  descriptors: [*a]\n",
		"empty strings": "domain: d\ndescriptors: [{key: a, rate_limit: {unit: day, requests_per_unit: 1, name: \"\", replaces: []}}]\n",
	} {
		got := read("file.yaml", []byte(text))
		if complaint := opinion("file.yaml", []byte(text)); len(got.faults) > 0 || complaint != "" {
			t.Errorf("%s: we say\n%sthey say %q", name, lines(got.faults), complaint)
		}
	}
}

// TestWhatOnlyTheNewerOneAccepts: the pinned version refuses these, its later
// ones do not. The other entries of Differences on purpose are in testdata/bad.
func TestWhatOnlyTheNewerOneAccepts(t *testing.T) {
	for name, text := range map[string]string{
		"metadata":        "domain: d\ndescriptors: [{key: a, metadata: {1: x, yes: {no: [y]}}}]\n",
		"shared in front": "domain: d\ndescriptors: [{key: a, value: \"*.png\", share_threshold: true}]\n",
		"joined":          "domain: d\ndescriptors: [{key: a, value: b_c}, {key: a_b, value: c}]\n",
	} {
		got := read("file.yaml", []byte(text))
		if complaint := opinion("file.yaml", []byte(text)); len(got.faults) > 0 || complaint == "" {
			t.Errorf("%s: we say\n%sthey say %q", name, lines(got.faults), complaint)
		}
	}
}

func TestTheirOpinionIsAFault(t *testing.T) {
	if got := opinion("file.yaml", []byte("domain: d\ndescriptors: [{key: a, rate_limit: {unit: moon}}]")); !strings.Contains(got, "invalid rate limit unit 'moon'") {
		t.Errorf("got %q", got)
	}
	// More aliases than they unfold; to us they are few.
	text := "domain: d\ndescriptors:\n- {key: a, descriptors: &a [" + manyLines(30, "{key: k%d},") + "]}\n" +
		"- {key: b, descriptors: &b [" + manyLines(30, "{key: k%d, descriptors: *a},") + "]}\n" +
		manyLines(30, "- {key: c%d, descriptors: *b}\n")
	got := read("file.yaml", []byte(text))
	if !strings.Contains(lines(got.faults), "envoyproxy/ratelimit refuses it: error loading config file: yaml: document contains excessive aliasing") || got.name != "d" || got.domain != nil {
		t.Errorf("got %.300s", lines(got.faults))
	}
}

// TestWhatWeRefuseAlthoughTheyDoNot holds what Differences on purpose says of
// them: all of this loads there.
func TestWhatWeRefuseAlthoughTheyDoNot(t *testing.T) {
	limited := func(limit string) string {
		return "domain: d\ndescriptors: [{key: a, rate_limit: {" + limit + "}}]\n"
	}
	const one = "rate_limit: {unit: day, requests_per_unit: 1}"
	for name, text := range map[string]string{
		"* at the end of a key":      "domain: d\ndescriptors: [{key: a*}]\n",
		"requests_per_unit missing":  limited("unit: day"),
		"rate_limit without a value": "domain: d\ndescriptors: [{key: a, rate_limit: }]\n",
		"wrong place":                limited("unit: day, requests_per_unit: 1, shadow_mode: true"),
		"twice":                      limited("unit: day, unit: week, requests_per_unit: 1"),
		"<< after":                   "domain: d\ndescriptors: [&a {key: a}, {key: b, <<: *a, value: x}]\n",
		"<< mixed":                   "domain: d\ndescriptors: [&a {key: a, " + one + "}, {<<: *a, key: b, " + one + "}]\n",
		"tag":                        "domain: d\ndescriptors: [{key: !mine a}]\n",
		"second document":            "domain: d\n---\ndomain: e\n",
	} {
		if complaint := opinion("file.yaml", []byte(text)); complaint != "" {
			t.Errorf("%s: they say %q", name, complaint)
		}
		if got := read("file.yaml", []byte(text)); got.domain != nil {
			t.Errorf("%s: we accept it", name)
		}
	}
}

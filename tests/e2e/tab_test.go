package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sallyport/sallyport/internal/testenv"
)

// startBrowser starts a browser without a window, with a profile of its own. It
// ends with the test.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(testenv.Chromium(t)), chromedp.UserDataDir(t.TempDir()))
	if os.Geteuid() == 0 { // the sandbox wants somebody with fewer rights
		options = append(options, chromedp.NoSandbox)
	}
	ctx, end := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(end)
	ctx, end = chromedp.NewContext(ctx)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("the browser did not start: %v", err)
	}
	return ctx
}

// application is where users are sent back to: the client of a test.
type application struct {
	*httptest.Server
	mu   sync.Mutex
	sent []url.Values // guarded by mu
}

func newApplication(t *testing.T) *application {
	a := new(application)
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/callback":
			a.mu.Lock()
			a.sent = append(a.sent, r.URL.Query())
			a.mu.Unlock()
			http.Redirect(w, r, a.welcome(), http.StatusSeeOther)
		case "/welcome":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, `<!doctype html><html lang="en"><title>Inventory</title><link rel="icon" href="data:,"><p>Welcome back.`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(a.Close)
	return a
}

// welcome is where users go from callback: of many applications it is another host.
func (a *application) welcome() string {
	return strings.Replace(a.URL, "127.0.0.1", "inventory.localhost", 1) + "/welcome"
}

func (a *application) callback() string { return a.URL + "/callback" }

// told returns what the application was sent, all of it.
func (a *application) told() []url.Values {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sent
}

// tab is a page of a browser, with cookies of its own. What goes wrong in it
// without being looked for fails the test.
type tab struct {
	*demo
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	requests []*network.Request // guarded by mu
	faults   []string           // guarded by mu: what the console shows
}

// patience is for one step in a browser, on a machine with other things to do.
const patience = time.Minute

// newTab opens a tab. Each of its subtests has one.
func (d *demo) newTab(t *testing.T, browser context.Context) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(end)
	b := &tab{demo: d, t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	call(b, network.Enable, network.EnableParams{})
	call(b, log.Enable, cdp.Empty{})
	call(b, audits.Enable, cdp.Empty{})
	call(b, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	b.desk()
	t.Cleanup(b.wasQuiet)
	return b
}

// hear keeps what happens in the tab.
func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request)
	case *log.EventEntryAdded:
		// That a page has the status of an error is no fault: tests look at it.
		if e.Entry.Source != log.EntrySourceNetwork || !strings.Contains(e.Entry.Text, "the server responded with a status of 40") {
			b.faults = append(b.faults, fmt.Sprintf("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	case *runtime.EventConsoleAPICalled:
		b.faults = append(b.faults, fmt.Sprintf("the console: %s", e.Type))
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, e.ExceptionDetails.Text)
	case *audits.EventIssueAdded:
		text, _ := json.Marshal(e.Issue.Details)
		if e.Issue.Code == audits.InspectorIssueCodeBounceTrackingIssue || strings.Contains(string(text), "NavigationEntryMarkedSkippable") {
			return // of the application's own redirect, and of a button that a script pressed
		}
		b.faults = append(b.faults, fmt.Sprintf("%s: %s", e.Issue.Code, text))
	}
}

// heard returns what the console has shown since it was last asked.
func (b *tab) heard() (faults []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	faults, b.faults = b.faults, nil
	return faults
}

// sent returns the requests of a method, in order.
func (b *tab) sent(method string) (at []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.requests {
		if r.Method == method {
			at = append(at, r.URL)
		}
	}
	return at
}

// wasQuiet fails the test where a page complained, or asked another host for
// anything.
func (b *tab) wasQuiet() {
	for _, fault := range b.heard() {
		b.t.Errorf("the browser complains: %s", fault)
	}
	own, _ := url.Parse(b.auth())
	for _, at := range append(b.sent("GET"), b.sent("POST")...) {
		if u, err := url.Parse(at); err != nil || u.Host != own.Host && u.Hostname() != "127.0.0.1" && u.Scheme != "data" && u.Hostname() != "evil.localhost" && u.Hostname() != "inventory.localhost" {
			b.t.Errorf("the browser asked for %s", at)
		}
	}
}

// limited is the time that one step has.
func (b *tab) limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.ctx, patience)
}

func call[P, R any](b *tab, command cdp.Command[P, R], params P) (result R) {
	b.t.Helper()
	ctx, end := b.limited()
	defer end()
	result, err := chromedp.Call(ctx, command, params)
	if err != nil {
		b.t.Fatalf("%s: %v", command.Method, err)
	}
	return result
}

// eval evaluates an expression in the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, end := b.limited()
	defer end()
	got, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return got
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, end := b.limited()
	defer end()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// goes returns the status of the page that steps lead to.
func (b *tab) goes(steps ...chromedp.Action[chromedp.Void]) (status int64) {
	b.t.Helper()
	ctx, end := b.limited()
	defer end()
	resp, err := chromedp.RunResponse(ctx, steps...)
	if err != nil {
		b.t.Fatalf("no page came: %v; the browser says %q", err, b.heard())
	}
	return resp.Status
}

func (b *tab) opens(at string) (status int64) {
	b.t.Helper()
	return b.goes(chromedp.Navigate(at))
}

// at returns where the tab is.
func (b *tab) at() *url.URL {
	b.t.Helper()
	u, err := url.Parse(eval[string](b, "location.href"))
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

// text returns what a reader sees.
func (b *tab) text() string {
	b.t.Helper()
	return eval[string](b, "document.body.innerText")
}

// says fails the test where a reader does not see texts.
func (b *tab) says(texts ...string) {
	b.t.Helper()
	page := b.text()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			b.t.Errorf("%s does not say %q:\n%s", b.at(), text, page)
		}
	}
}

// window gives the page so many CSS pixels.
func (b *tab) window(width, height int64, options ...chromedp.EmulateViewportOption) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height, options...))
}

func (b *tab) desk() { b.window(1280, 800) }

// phone is a window of a phone that is touched.
func (b *tab) phone() {
	b.window(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulateScale(2))
}

// scheme says which colours the user prefers: light or dark.
func (b *tab) scheme(name string) {
	b.t.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
}

// types puts text in at once where the focus is.
func (b *tab) types(text string) {
	b.t.Helper()
	call(b, input.InsertText, input.InsertTextParams{Text: text})
}

func (b *tab) key(name string, options ...chromedp.KeyOption) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(name, options...))
}

// awaitFocus waits until the page has given the focus to a field: browsers do that
// some time after the page is there.
func (b *tab) awaitFocus() {
	b.t.Helper()
	testenv.Await(b.t, "a field to have the focus", func() bool { return eval[string](b, "document.activeElement.tagName") == "INPUT" })
}

// signs fills in the form that the page has put the focus on: a login and a
// password, or only this where the login is there already. It returns the status of
// the page that comes.
func (b *tab) signs(login, password string) (status int64) {
	b.t.Helper()
	b.awaitFocus()
	if login != "" {
		b.types(login)
		b.key(kb.Tab)
	}
	b.types(password)
	return b.goes(chromedp.KeyEvent(kb.Enter))
}

// goesBack goes back to the page before, whether the browser kept it or asks for it
// again.
func (b *tab) goesBack() {
	b.t.Helper()
	history := call(b, page.GetNavigationHistory, cdp.Empty{})
	call(b, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: history.Entries[history.CurrentIndex-1].ID})
	testenv.Await(b.t, "the page before", func() bool {
		return call(b, page.GetNavigationHistory, cdp.Empty{}).CurrentIndex == history.CurrentIndex-1
	})
}

// awaits waits until a reader sees text: for pages that the browser kept, of which
// it tells less.
func (b *tab) awaits(text string) {
	b.t.Helper()
	testenv.Await(b.t, "a page that says "+text, func() bool {
		ctx, end := b.limited()
		defer end()
		got, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
		return err == nil && strings.Contains(got, text)
	})
}

// press presses a button by its words.
func (b *tab) press(name string) (status int64) {
	b.t.Helper()
	return b.goes(chromedp.Click(chromedp.Search("//button[normalize-space()='" + name + "']")))
}

// picture keeps what the page looks like where SALLYPORT_TEST_PICTURES names a
// folder, for people to look at.
func (b *tab) picture(name string) {
	b.t.Helper()
	folder := os.Getenv("SALLYPORT_TEST_PICTURES")
	if folder == "" {
		return
	}
	ctx, end := b.limited()
	defer end()
	image, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, name+".png"), image, 0o644)
	}
	if err != nil {
		b.t.Errorf("picture %s: %v", name, err)
	}
}

package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sallyport/sallyport/internal/testenv"
)

// TestPagesInABrowser shows the pages of V8 to a real browser: one, with a tab and
// cookies of its own for each of the guarantees.
func TestPagesInABrowser(t *testing.T) {
	browser := startBrowser(t)
	app := newApplication(t)
	for _, chain := range chains {
		t.Run(chain, newVisitor(t, browser, chain, app).consents)
	}
	v := newVisitor(t, browser, "paired", app)
	for name, test := range map[string]func(*testing.T){
		"a failure says nothing and is announced":          v.fails,
		"by keyboard alone":                                v.keyboard,
		"for every eye, on a desk and on a phone":          v.looks,
		"without scripts":                                  v.withoutScripts,
		"another site can neither press nor frame it":      v.foreign,
		"going back grants nothing and brings nobody back": v.back,
	} {
		t.Run(name, test)
	}
}

// visitor is a user of a client whose pages a browser shows.
type visitor struct {
	*demo
	browser         context.Context
	app             *application
	login, password string
	client          string // the page's URL is for it
}

func newVisitor(t *testing.T, browser context.Context, chain string, app *application) *visitor {
	t.Helper()
	d := running(t, "", chain)
	p := d.person(t)
	id, _ := d.newOAuthClient(t, "vaultwares", "org_enterprise", "--name", "Inventory", "--redirect", app.callback())
	return &visitor{demo: d, browser: browser, app: app, login: p.login, password: p.password, client: id}
}

// page is what the application shows its user first.
func (v *visitor) page() string {
	return v.authorizeURL(v.client, "redirect_uri", v.app.callback())
}

// signedIn opens a tab at the consent page.
func (v *visitor) signedIn(t *testing.T) *tab {
	t.Helper()
	b := v.newTab(t, v.browser)
	b.opens(v.page())
	if status := b.signs(v.login, v.password); status != 200 || !strings.Contains(b.text(), "Allow Inventory") {
		t.Fatalf("signed in: %d at %s\n%s", status, b.at(), b.text())
	}
	return b
}

// consents: the user signs in, reads what for, and is sent back with what was
// decided.
func (v *visitor) consents(t *testing.T) {
	b := v.newTab(t, v.browser)
	if status := b.opens(v.page()); status != 200 {
		t.Fatalf("the page: %d", status)
	}
	b.says("Sign in to vaultwares", "Inventory of Demo enterprise")
	if status := b.signs(v.login, v.password); status != 200 {
		t.Fatalf("signed in: %d", status)
	}
	b.says("Allow Inventory to use your account?", "Demo everything", "Inventory of Demo enterprise", "See devices devices:read", "Add and change devices devices:write",
		strings.TrimPrefix(v.app.URL, "http://"))
	for button, want := range map[string][]string{"Allow": {"code", "iss", "state"}, "Deny": {"error", "error_description", "iss", "state"}} {
		before := len(v.app.told())
		b.opens(v.page()) // who has signed in is not asked again
		if status := b.press(button); status != 200 || !strings.HasPrefix(b.at().String(), v.app.welcome()) {
			t.Errorf("%s: %d at %s", button, status, b.at())
		}
		told := v.app.told()[before:]
		if len(told) != 1 || !slices.Equal(slices.Sorted(maps.Keys(told[0])), want) || told[0].Get("state") != "s t&te" || told[0].Get("iss") != v.auth() {
			t.Errorf("%s: the application was told %v", button, told)
		} else if button == "Deny" && told[0].Get("error") != "access_denied" {
			t.Errorf("denied: %v", told)
		}
	}
}

// fails: who guesses does not learn whether there is such a user, and who cannot
// see the page hears that something is wrong.
func (v *visitor) fails(t *testing.T) {
	b := v.newTab(t, v.browser)
	said := map[string]string{}
	for who, login := range map[string]string{"known": v.login, "unknown": "nobody@vaultwares.example"} {
		b.opens(v.page())
		if status := b.signs(login, "wrong"); status != 401 {
			t.Errorf("%s: %d", who, status)
		}
		said[who] = strings.ReplaceAll(b.text(), login, "")
		alert := eval[string](b, `[...document.querySelectorAll('[role=alert]')].map(e => e.innerText).join('|')`)
		if alert != "The login or the password is wrong." {
			t.Errorf("%s: announced is %q", who, alert)
		}
		// What was right is still there, and the focus is where one begins again.
		if got := eval[string](b, `document.activeElement.id + ' ' + document.getElementById('login').value + ' ' + document.getElementById('password').value`); got != "password "+login+" " {
			t.Errorf("%s: the form holds %q", who, got)
		}
		if got := eval[string](b, `document.getElementById(document.activeElement.getAttribute('aria-describedby')).innerText`); got != alert {
			t.Errorf("%s: the field is described by %q", who, got)
		}
		if title := eval[string](b, "document.title"); !strings.HasPrefix(title, "Not signed in") {
			t.Errorf("%s: the title is %q", who, title)
		}
	}
	if said["known"] != said["unknown"] {
		t.Errorf("a known user reads\n%s\nan unknown one\n%s", said["known"], said["unknown"])
	}
}

// focused names what has the focus, if a reader can see that it has.
const focused = `(() => {
	const e = document.activeElement, s = getComputedStyle(e);
	const seen = e.matches(':focus-visible') && s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2;
	return (e.id || e.innerText || e.tagName) + (seen ? '' : ' unseen');
})()`

func (v *visitor) keyboard(t *testing.T) {
	b := v.newTab(t, v.browser)
	b.opens(v.page())
	b.awaitFocus()
	for _, want := range []string{"login", "password", "Sign in"} {
		if got := eval[string](b, focused); got != want {
			t.Errorf("the focus is on %q, want %q", got, want)
		}
		b.key(kb.Tab)
	}
	b.opens(v.page())
	b.awaitFocus()
	b.types(v.login)
	b.key(kb.Tab)
	b.types(v.password)
	b.key(kb.Tab)
	b.goes(chromedp.KeyEvent(" ")) // on the button
	if got := eval[string](b, focused); got != "BODY unseen" && !strings.HasPrefix(got, "Allow Inventory") {
		t.Errorf("the consent page begins at %q: Enter must not grant anything yet", got)
	}
	for _, want := range []string{"Allow", "Deny", "Not you? Sign in as somebody else"} {
		b.key(kb.Tab)
		if got := eval[string](b, focused); got != want {
			t.Errorf("the focus is on %q, want %q", got, want)
		}
	}
	b.picture("consent-focus")
	for range 2 {
		b.key(kb.Tab, chromedp.KeyModifiers(chromedp.ModifierShift))
	}
	before := len(v.app.told())
	b.goes(chromedp.KeyEvent(kb.Enter))
	if told := v.app.told()[before:]; len(told) != 1 || told[0].Get("code") == "" {
		t.Errorf("Enter on Allow told %v", told)
	}
}

// misfits names what does not fit a phone: what is too wide, too small to touch,
// or makes it zoom in.
const misfits = `(() => {
	const root = document.documentElement, all = [];
	if (root.scrollWidth > root.clientWidth) all.push('the page is ' + root.scrollWidth + ' wide, of ' + root.clientWidth);
	for (const e of document.querySelectorAll('main *, main')) {
		const box = e.getBoundingClientRect();
		if (box.right > root.clientWidth + .5 || box.left < -.5) all.push(e.tagName + ' sticks out: ' + e.innerText);
		if (e.scrollWidth > e.clientWidth + 1 && e.tagName !== 'INPUT' && getComputedStyle(e).display !== 'inline') all.push(e.tagName + ' overflows: ' + e.innerText);
		if ((e.tagName === 'BUTTON' || e.tagName === 'INPUT' && e.type !== 'hidden') && box.height < 44) all.push(e.tagName + ' ' + e.innerText + ' is ' + box.height + ' high');
		if (e.tagName === 'INPUT' && e.type !== 'hidden' && parseFloat(getComputedStyle(e).fontSize) < 16) all.push(e.id + ' is written smaller than 16');
	}
	return all;
})()`

// pale names texts whose contrast is below 4.5 and edges below 3 (WCAG 2.2, 1.4.3
// and 1.4.11).
const pale = `(() => {
	const parse = c => c.match(/[\d.]+/g).map(Number);
	const light = c => { const [r, g, b] = c.slice(0, 3).map(x => (x /= 255) <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
	const ratio = (a, b) => { const [x, y] = [light(a), light(b)]; return (Math.max(x, y) + .05) / (Math.min(x, y) + .05); };
	const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
	const all = [];
	let seen = 0;
	for (const e of document.querySelectorAll('body *')) {
		const s = getComputedStyle(e), own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
		if (own) { seen++; const r = ratio(parse(s.color), behind(e)); if (r < 4.5) all.push(e.tagName + ' "' + e.innerText + '" has ' + r.toFixed(2)); }
		if (e.tagName === 'INPUT' && e.type !== 'hidden') {
			seen++;
			for (const c of [s.color, s.caretColor]) { const r = ratio(parse(c), behind(e)); if (r < 4.5) all.push(e.id + ' is written with ' + r.toFixed(2)); }
			const r = ratio(parse(s.borderTopColor), behind(e.parentElement)); if (r < 3) all.push('the edge of ' + e.id + ' has ' + r.toFixed(2));
		}
		if (e === document.activeElement) { const r = ratio(parse(s.outlineColor), behind(e.parentElement)); if (r < 3) all.push('the focus on ' + e.id + ' has ' + r.toFixed(2)); }
	}
	if (seen < 2) all.push('only ' + seen + ' texts were looked at');
	return all;
})()`

// nameless names what programs that read a page aloud, or fill it in, cannot tell.
const nameless = `(() => {
	const all = [], need = (ok, what) => ok || all.push(what);
	need(document.documentElement.lang === 'en', 'the language is ' + document.documentElement.lang);
	need(document.title.length > 5, 'the title is ' + document.title);
	need(document.querySelectorAll('h1').length === 1 && document.querySelectorAll('main').length === 1, 'there is not one heading and one main part');
	need(document.compatMode === 'CSS1Compat', 'it is in quirks mode');
	need(/width=device-width/.test(document.querySelector('meta[name=viewport]').content) && !/maximum-scale|user-scalable/.test(document.querySelector('meta[name=viewport]').content), 'it cannot be zoomed');
	for (const e of document.querySelectorAll('input:not([type=hidden])')) {
		need(e.labels.length === 1 && e.labels[0].innerText.trim(), e.id + ' has no label');
		need(e.required, e.id + ' may be left out');
	}
	for (const e of document.querySelectorAll('button')) need(e.innerText.trim() && e.type === 'submit', 'a button has no name');
	need(document.scripts.length === 0 && ![...document.querySelectorAll('*')].some(e => [...e.attributes].some(a => a.name.startsWith('on'))), 'there is a script');
	const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
	need(new Set(ids).size === ids.length, 'an id is there twice');
	return all;
})()`

// looks: every page can be read by everybody, on every screen, however long the
// names are.
func (v *visitor) looks(t *testing.T) {
	b := v.newTab(t, v.browser)
	backgrounds := map[string]bool{}
	look := func(what string) {
		t.Helper()
		shown := func(how, script string) {
			t.Helper()
			for _, fault := range eval[[]string](b, script) {
				t.Errorf("%s, %s: %s", what, how, fault)
			}
		}
		b.desk()
		shown("to programs", nameless)
		for _, scheme := range []string{"light", "dark"} {
			b.scheme(scheme)
			backgrounds[eval[string](b, "getComputedStyle(document.body).backgroundColor")] = true
			shown(scheme, pale)
			b.picture(what + "-" + scheme)
		}
		b.scheme("light")
		b.phone()
		shown("phone", misfits)
		b.picture(what + "-phone")
	}
	long, _ := v.newOAuthClient(t, "vaultwares", "org_enterprise", "--name", strings.Repeat("Inventory", 12), "--redirect", v.app.callback())
	b.opens(v.authorizeURL("nobody"))
	look("broken")
	b.opens(v.page())
	look("login")
	if got := eval[string](b, `login.autocomplete + ' ' + password.autocomplete + ' ' + password.type`); got != "username current-password password" {
		t.Errorf("the fields are %s", got)
	}
	b.signs(v.login, "wrong")
	look("failed")
	b.signs("", v.password)
	look("consent")
	b.opens(v.authorizeURL(long, "redirect_uri", v.app.callback(), "scope",
		"devices:read devices:write devices:delete policies:read policies:write users:read users:write audit:read"))
	look("long")
	if len(backgrounds) != 2 {
		t.Errorf("light and dark look alike: %v", backgrounds)
	}
	before := len(v.app.told())
	b.goes(chromedp.Tap(chromedp.CSS("button[value=allow]")))
	if told := v.app.told()[before:]; len(told) != 1 || told[0].Get("code") == "" {
		t.Errorf("a touch on Allow told %v", told)
	}
}

// withoutScripts: all of it works where the browser runs none.
func (v *visitor) withoutScripts(t *testing.T) {
	b := v.newTab(t, v.browser)
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.opens(v.page())
	if status := b.signs(v.login, "wrong"); status != 401 {
		t.Errorf("a wrong password: %d", status)
	}
	if status := b.signs("", v.password); status != 200 {
		t.Fatalf("signed in: %d", status)
	}
	before := len(v.app.told())
	b.key(kb.Tab)
	b.goes(chromedp.KeyEvent(kb.Enter))
	told := v.app.told()
	if len(told) != before+1 || told[before].Get("code") == "" || told[before].Get("iss") != v.auth() {
		t.Errorf("the application was told %v", told[before:])
	}
}

// serveOn serves a page of another site, and returns its URL.
func serveOn(t *testing.T, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write([]byte(`<!doctype html><html lang="en"><title>evil</title><link rel="icon" href="data:,">` + body))
	}))
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "127.0.0.1", "evil.localhost", 1)
}

// foreign: a form of another site, with all that ours sends, presses no button and
// signs nobody in; and no frame shows the page, to have it clicked.
func (v *visitor) foreign(t *testing.T) {
	b := v.signedIn(t)
	before := len(v.app.told())
	action, token := strings.ReplaceAll(v.page(), "&", "&amp;"), eval[string](b, `document.querySelector('[name=token]').value`)
	for _, step := range []string{"allow", "deny", "leave", "login"} {
		b.opens(serveOn(t, `<form method="post" action="`+action+`"><input name="token" value="`+token+`"><input name="step" value="`+step+
			`"><input name="login" value="`+v.login+`"><input name="password" value="`+v.password+`"><button>Win a prize</button></form>`))
		if status := b.press("Win a prize"); status != 403 || !strings.Contains(b.text(), "expired") {
			t.Errorf("%s: %d at %s", step, status, b.at())
		}
	}
	if told := v.app.told(); len(told) != before {
		t.Errorf("the application was told %v", told[before:])
	}
	b.opens(v.page())
	b.says("Allow Inventory") // still: nothing was pressed

	b.heard()
	b.opens(serveOn(t, `<iframe src="`+action+`"></iframe>`))
	testenv.Await(t, "the browser to refuse the frame", func() bool {
		return slices.ContainsFunc(b.heard(), func(fault string) bool { return strings.Contains(fault, "frame-ancestors") })
	})
	b.heard() // it says so in more than one way
}

// back: a user who goes back from the application has granted once; and who signs
// out does not leave a page with which somebody else can grant.
func (v *visitor) back(t *testing.T) {
	b := v.signedIn(t)
	before := len(v.app.told())
	b.press("Allow")
	posts := len(b.sent("POST"))
	b.goesBack()
	b.awaits("Allow Inventory")
	if got := len(b.sent("POST")); got != posts || len(v.app.told()) != before+1 {
		t.Errorf("going back sent %d forms, and the application was told %v", got-posts, v.app.told()[before:])
	}
	const press = `document.querySelector('button[value=%s]').click()`
	eval[chromedp.Void](b, fmt.Sprintf(press, "leave"))
	b.awaits("Sign in to")
	b.goesBack()
	// What comes is the consent page, where the browser has kept it, or none.
	if eval[bool](b, `document.querySelector('button[value=allow]') !== null`) {
		eval[chromedp.Void](b, fmt.Sprintf(press, "allow"))
	}
	b.awaits("Sign in to")
	if told := v.app.told(); len(told) != before+1 {
		t.Errorf("the application was told %v", told[before:])
	}
}

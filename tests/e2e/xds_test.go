package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/testenv"
)

// toldServer starts a server that tells Envoys their configuration, and an Envoy
// that asks it.
func toldServer(t *testing.T, upstream string, args ...string) (*server, *demo) {
	t.Helper()
	s := newServer(t, upstream)
	at := testenv.FreeAddress(t)
	s.args = append([]string{"--xds", "--envoy-listen", at, "--watch=false"}, args...)
	s.write("sallyport.yaml", strings.ReplaceAll(s.read("sallyport.yaml"), `http: "127.0.0.1:0"`, `http: "`+testenv.FreeAddress(t)+`"`))
	s.start()
	return s, s.toldEnvoy()
}

// toldEnvoy starts an Envoy that asks the server for its configuration.
func (s *server) toldEnvoy() *demo {
	s.t.Helper()
	return s.envoyOn(s.cli("envoy", "bootstrap", "-c", filepath.Join(s.folder, "sallyport.yaml"), "--xds", "--node", "edge-1", "--admin", "127.0.0.1:0"))
}

func (s *server) read(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.folder, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// big makes a tenant and a key of the neutral API, and returns its header line.
func (s *server) big() string {
	s.t.Helper()
	s.cli("tenant", "create", "--api", "orders", "--id", "t1", "--plan", "big")
	header, _ := s.newKey(reading)
	return header
}

// A reload reaches an Envoy that asks us for its configuration, at once, and no
// request fails on the way: clusters come before the routes that lead to them, and
// go after.
func TestXDSReloads(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(upstream.Close)
	other := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(other.Close)
	s, d := toldServer(t, upstream.URL)
	key := s.big()
	if a := d.send(t, "GET", d.Gateway+"/v1/orders", ordersHost, key); a.status != 200 {
		t.Fatalf("got %d %s\n%s", a.status, a.body, s.log)
	}

	one := s.read("sallyport.yaml")
	_, orders, _ := strings.Cut(one, "\n  orders:\n")
	two := one + "  bills:\n" + strings.NewReplacer("api.orders.test", "api.bills.test", upstream.URL, other.URL, "ord_live_", "bil_live_").Replace(orders)

	end, failed := make(chan struct{}), make(chan []string)
	go func() {
		var all []string
		sent := 0
		for {
			select {
			case <-end:
				t.Logf("%d requests meanwhile", sent)
				failed <- all
				return
			default:
			}
			sent++
			if a, err := d.try("GET", d.Gateway+"/v1/orders", "", ordersHost, key); err != nil || a.status != 200 {
				all = append(all, fmt.Sprintf("request %d: %d %v %s", sent, a.status, err, a.body))
			}
		}
	}()
	var took []time.Duration
	for i := range 20 {
		text, want := two, 401 // the API is there: it asks for a key
		if i%2 == 1 {
			text, want = one, 404
		}
		s.write("sallyport.yaml", text)
		s.cli("reload")
		began := time.Now()
		eventually(t, fmt.Sprintf("Envoy to answer %d for the other host after reload %d", want, i), func() bool {
			a, err := d.try("GET", d.Gateway+"/v1/orders", "", "Host: api.bills.test")
			return err == nil && a.status == want
		})
		took = append(took, time.Since(began))
	}
	close(end)
	if all := <-failed; len(all) > 0 {
		t.Errorf("%d requests failed during the reloads:\n%s", len(all), strings.Join(all, "\n"))
	}
	slices.Sort(took)
	t.Logf("from the reload's end to Envoy's new answers: median %v, longest %v", took[len(took)/2], took[len(took)-1])

	s.write("sallyport.yaml", one+"  broken: [\n")
	if out := s.fails("reload"); !strings.Contains(out, "sallyport.yaml") {
		t.Errorf("a reload of a broken file said %s", out)
	}
	if a := d.send(t, "GET", d.Gateway+"/v1/orders", ordersHost, key); a.status != 200 {
		t.Errorf("after a refused reload: got %d %s", a.status, a.body)
	}
	metrics := d.send(t, "GET", s.http+"/metrics").body
	for _, want := range []string{"sallyport_xds_envoys 1", "sallyport_xds_changes_total 21", "sallyport_xds_refused_total 0"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics do not hold %q:\n%s", want, strings.Join(regexp.MustCompile(`(?m)^sallyport_xds.*`).FindAllString(metrics, -1), "\n"))
		}
	}
}

// An Envoy goes on with what it was told while the server is away, and is not told
// anew what it knows.
func TestXDSServerAway(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(upstream.Close)
	s, d := toldServer(t, upstream.URL)
	key := s.big()
	ask := func() int { return d.send(t, "GET", d.Gateway+"/v1/orders", ordersHost, key).status }
	if got := ask(); got != 200 {
		t.Fatalf("got %d", got)
	}
	s.end(syscall.SIGKILL)
	a := d.send(t, "GET", d.Gateway+"/v1/orders", ordersHost, key)
	if a.status != 503 || !strings.Contains(a.body, `"code"`) || a.header.Get("Retry-After") == "" {
		t.Errorf("with the server away: got %d %v %s", a.status, a.header, a.body)
	}
	s.start()
	eventually(t, "requests to pass again", func() bool { return ask() == 200 })
	metrics := func() string { return d.send(t, "GET", s.http+"/metrics").body }
	eventually(t, "Envoy to be connected again", func() bool { return strings.Contains(metrics(), "sallyport_xds_envoys 1") })
	began := time.Now()
	s.end(syscall.SIGTERM)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the server took %v to end while an Envoy was connected", took)
	}
}

// fails runs a command that must fail and returns what it said.
func (s *server) fails(args ...string) string {
	s.t.Helper()
	c := onServerCommand(s.http, serverToken, args...)
	out, err := c.CombinedOutput()
	if err == nil {
		s.t.Errorf("%v did not fail:\n%s", args, out)
	}
	return string(out)
}

// authority is who signs certificates, and the file that says so.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, file: filepath.Join(t.TempDir(), "ca.pem")}
	der := a.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, Subject: pkix.Name{CommonName: "test"}}, &a.key)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign makes a key and a certificate for it.
func (a *authority) sign(c *x509.Certificate, key **ecdsa.PrivateKey) []byte {
	a.t.Helper()
	made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	*key = made
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, made
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &made.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// certificate makes one for names and addresses.
func (a *authority) certificate(names []string, addresses ...net.IP) tls.Certificate {
	a.t.Helper()
	var key *ecdsa.PrivateKey
	der := a.sign(&x509.Certificate{DNSNames: names, IPAddresses: addresses}, &key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// upstream starts one whose certificate is for names and addresses.
func (a *authority) upstream(names []string, addresses ...net.IP) *httptest.Server {
	a.t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{a.certificate(names, addresses...)}}
	s.StartTLS()
	a.t.Cleanup(s.Close)
	return s
}

// Upstreams by name and by address, with TLS and without: whose certificate is for
// somebody else, or of an authority that is not ours, gets no request.
func TestUpstreams(t *testing.T) {
	known, unknown := newAuthority(t), newAuthority(t)
	plain := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(plain.Close)
	local := net.IPv4(127, 0, 0, 1)
	at := func(host string, s *httptest.Server) string {
		scheme := "http://"
		if s.TLS != nil {
			scheme = "https://"
		}
		return scheme + host + ":" + portOf(t, s.URL)
	}
	for _, c := range []struct {
		name, upstream string
		status         int
	}{
		{"address", at("127.0.0.1", plain), 200},
		{"name", at("localhost", plain), 200},
		{"TLS its name", at("localhost", known.upstream([]string{"localhost"})), 200},
		{"TLS its address", at("127.0.0.1", known.upstream(nil, local)), 200},
		{"TLS another name", at("localhost", known.upstream([]string{"other.test"})), 503},
		{"TLS another address", at("127.0.0.1", known.upstream(nil, net.IPv4(127, 0, 0, 2))), 503},
		{"TLS a name for an address", at("127.0.0.1", known.upstream([]string{"localhost"})), 503},
		{"TLS an unknown authority", at("localhost", unknown.upstream([]string{"localhost"})), 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, told := toldServer(t, c.upstream, "--envoy-certificates", known.file)
			key := s.big()
			static := s.envoyOn(s.cli("envoy", "bootstrap", "-c", filepath.Join(s.folder, "sallyport.yaml"),
				"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--certificates", known.file))
			for way, d := range map[string]*demo{"static": static, "xDS": told} {
				if a := d.send(t, "GET", d.Gateway+"/v1/orders", ordersHost, key); a.status != c.status {
					t.Errorf("%s: got %d, want %d: %s", way, a.status, c.status, a.body)
				}
			}
		})
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/webhook"
)

func newWebhook(s streams, getenv func(string) string) *cobra.Command {
	return group("webhook", "Who signs webhooks; and to try things out, sign as they do and verify signatures",
		newSender(s, getenv), webhookSign(s, getenv), webhookVerify(s, getenv))
}

// signing is what the two commands have in common: how, what and by which secret.
type signing struct {
	s      streams
	getenv func(string) string
	json   bool

	scheme    sallyport.Webhook
	timestamp string

	source secretSource
}

// flags adds the common flags to c.
func (g *signing) flags(c *cobra.Command) {
	f := c.Flags()
	g.source.flags(c)
	c.MarkFlagsOneRequired("secret-env", "secret-file", "secret-stdin")
	f.Var(encodingFlag{&g.scheme.Encoding}, "encoding", "how the signature is written: hex or base64")
	complete(c, "encoding", sallyport.Hex.String(), sallyport.Base64.String())
	f.StringVar(&g.scheme.Prefix, "prefix", "", "what stands before the signature, such as sha256=")
	f.BoolVar(&g.json, "json", false, "print JSON")
}

// encodingFlag is a flag's value.
type encodingFlag struct{ to *sallyport.SignatureEncoding }

func (encodingFlag) Type() string { return "encoding" }

func (e encodingFlag) String() string {
	if e.to == nil { // cobra makes a zero value to compare with
		return ""
	}
	return e.to.String()
}

func (e encodingFlag) Set(text string) error {
	parsed, ok := sallyport.ParseSignatureEncoding(text)
	if !ok {
		return errors.New("allowed are hex and base64")
	}
	*e.to = parsed
	return nil
}

var errOneInput = errors.New("the secret and the body cannot both come from standard input")

// runs is runs with what cannot be told by the flags alone.
func (g *signing) runs(f func(file string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		if g.source.stdin && args[0] == "-" {
			return errOneInput
		}
		if g.timestamp == "now" {
			g.timestamp = strconv.FormatInt(time.Now().Unix(), 10)
		}
		if _, ok := webhook.ParseTime(g.timestamp); !ok && g.timestamp != "" {
			return fmt.Errorf("%q is not a timestamp: write Unix seconds", g.timestamp)
		}
		return runs(func(context.Context, []string) error { return f(args[0]) })(c, args)
	}
}

// secret reads the secret.
func (g *signing) secret() (webhook.Secret, error) {
	text, err := g.source.read(g.s.in, g.getenv)
	return webhook.NewSecret(text), err
}

// message reads the body from file, "-" being standard input.
func (g *signing) message(file string) (m webhook.Message, err error) {
	var body []byte
	if file == "-" {
		body, err = io.ReadAll(g.s.in)
	} else {
		body, err = os.ReadFile(file)
	}
	if err != nil {
		return m, fmt.Errorf("read the body: %w", err)
	}
	return webhook.Message{Stamp: g.timestamp, Body: string(body)}, nil
}

func webhookSign(s streams, getenv func(string) string) *cobra.Command {
	g := signing{s: s, getenv: getenv}
	var url, header, timeHeader string
	c := &cobra.Command{
		Use:   "sign FILE|-",
		Short: "Print the signature of a body, as it stands in its header",
		Long: "Print the signature of a body, as it stands in its header: HMAC-SHA-256 under the sender's secret. With --timestamp\n" +
			"what is signed is the timestamp, a dot and the body; the one of now is told on standard error.\n\n" +
			"  sallyport webhook sign --secret-file secret --prefix sha256= body.json\n" +
			"  sallyport webhook sign --secret-env SECRET --timestamp now --header X-Signature \\\n" +
			"    --curl https://api.example.com/hooks/acme body.json | sh",
		Args: cobra.ExactArgs(1),
	}
	c.RunE = g.runs(func(file string) error {
		secret, err := g.secret()
		if err != nil {
			return err
		}
		m, err := g.message(file)
		if err != nil {
			return err
		}
		signed := signedBody{Header: header, Signature: webhook.Write(&g.scheme, webhook.Sign(secret, m)), Timestamp: g.timestamp}
		if g.timestamp != "" {
			signed.TimestampHeader = timeHeader
		}
		switch {
		case g.json:
			return json.NewEncoder(s.out).Encode(signed)
		case url != "":
			_, err = fmt.Fprintln(s.out, signed.curl(url, file))
			return err
		case g.timestamp != "":
			fmt.Fprintf(s.err, "timestamp: %s\n", g.timestamp)
		}
		_, err = fmt.Fprintln(s.out, signed.Signature)
		return err
	})
	g.flags(c)
	f := c.Flags()
	f.StringVar(&g.timestamp, "timestamp", "", "sign this time along: now, or Unix seconds")
	complete(c, "timestamp", "now")
	f.StringVar(&url, "curl", "", "print a command that sends the webhook there")
	f.StringVar(&header, "header", "X-Signature", "which header carries the signature")
	f.StringVar(&timeHeader, "timestamp-header", "X-Timestamp", "which header carries the timestamp")
	c.MarkFlagsMutuallyExclusive("curl", "json")
	return c
}

// signedBody is what sign makes.
type signedBody struct {
	Header          string `json:"header"`
	Signature       string `json:"signature"`
	TimestampHeader string `json:"timestamp_header,omitempty"`
	Timestamp       string `json:"timestamp,omitempty"`
}

// curl returns a shell command that sends the body in file to url.
func (b *signedBody) curl(url, file string) string {
	parts := []string{"curl", "-H", quoted(b.Header + ": " + b.Signature)}
	if b.Timestamp != "" {
		parts = append(parts, "-H", quoted(b.TimestampHeader+": "+b.Timestamp))
	}
	parts = append(parts, "-H", quoted("Content-Type: application/json"), "--data-binary", quoted("@"+file), quoted(url))
	return strings.Join(parts, " ")
}

// quoted quotes s for a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

var (
	errNoSignature = errors.New("this is not a signature of that form")
	errOtherwise   = errors.New("the signature is not that of this body under this secret")
	errOutOfTime   = errors.New("the signature is good, and its timestamp is too far from now")
)

func webhookVerify(s streams, getenv func(string) string) *cobra.Command {
	g := signing{s: s, getenv: getenv}
	var signature string
	var tolerance time.Duration
	c := &cobra.Command{
		Use:   "verify --signature TEXT FILE|-",
		Short: "Say whether a signature is that of a body",
		Long: "Say yes or no: whether a signature, as it stands in its header, is that of a body under the sender's secret. No is\n" +
			"exit code 1, with the reason on standard error.\n\n" +
			"  sallyport webhook verify --secret-file secret --prefix sha256= --signature sha256=… body.json",
		Args: cobra.ExactArgs(1),
	}
	c.RunE = g.runs(func(file string) error {
		secret, err := g.secret()
		if err != nil {
			return err
		}
		m, err := g.message(file)
		if err != nil {
			return err
		}
		wrong := g.verify(secret, signature, m, tolerance)
		if err := g.tell(wrong); err != nil {
			return err
		}
		return wrong
	})
	g.flags(c)
	f := c.Flags()
	f.StringVar(&signature, "signature", "", "what stands in the header (required)")
	f.StringVar(&g.timestamp, "timestamp", "", "the time that was signed along: Unix seconds")
	f.DurationVar(&tolerance, "tolerance", 0, "how far from now that time may be; 0 is any")
	required(c, "signature")
	return c
}

// verify returns what is wrong with signature; nil for nothing.
func (g *signing) verify(secret webhook.Secret, signature string, m webhook.Message, tolerance time.Duration) error {
	mac, ok := webhook.Parse(&g.scheme, signature)
	if !ok {
		return errNoSignature
	}
	if !webhook.Verify([]webhook.Secret{secret}, mac, m) {
		return errOtherwise
	}
	if at, ok := webhook.ParseTime(m.Stamp); ok && tolerance > 0 && time.Since(at).Abs() > tolerance {
		return errOutOfTime
	}
	return nil
}

// tell prints the answer of verify.
func (g *signing) tell(wrong error) error {
	if g.json {
		report := struct {
			Valid  bool   `json:"valid"`
			Reason string `json:"reason,omitempty"`
		}{Valid: wrong == nil}
		if wrong != nil {
			report.Reason = wrong.Error()
		}
		return json.NewEncoder(g.s.out).Encode(report)
	}
	answer := "yes"
	if wrong != nil {
		answer = "no"
	}
	_, err := fmt.Fprintln(g.s.out, answer)
	return err
}

package issuer

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/apikey"
)

const (
	// DefaultKeep is how long an answer may be remembered at most.
	DefaultKeep = time.Minute
	// keepInactive is how long it may be remembered that a token is not good:
	// long enough for who tries again and again, short enough for a token that
	// the issuer has made in this moment and not spread yet.
	keepInactive = 5 * time.Second
	// maxQuestions is how many are asked at a time. Opaque tokens are easily made
	// up, and each is a question.
	maxQuestions = 64
)

// How an Introspector says who it is (RFC 6749 §2.3.1). The zero SecretIn is
// SecretInHeader, which every issuer must take.
type SecretIn uint8

const (
	SecretInHeader SecretIn = iota // Authorization: Basic
	SecretInBody                   // client_id and client_secret
)

// IntrospectorOptions says whom to ask about tokens, and what to accept.
type IntrospectorOptions struct {
	URL      string // https
	Client   string // who asks
	Secret   apikey.Secret
	SecretIn SecretIn
	Issuer   string           // iss must be it where the answer has one; "": it may be anything
	Audience []string         // aud must have one of them; none: it may be anything, for an issuer that tells us of our own tokens only
	Leeway   time.Duration    // at most MaxLeeway; zero is none
	Keep     time.Duration    // zero: DefaultKeep
	HTTP     *http.Client     // nil: NewClient(nil). No redirect is followed whatever it says
	Now      func() time.Time // nil: time.Now
}

// Answer is what an issuer says of a token.
type Answer struct {
	Active bool          // it stands for Claims
	Claims Claims        // only where Active
	Keep   time.Duration // how long the answer may be remembered, the token's own end included
}

// Introspector asks an issuer about opaque tokens (RFC 7662). It remembers
// nothing: an Answer says how long the caller may.
type Introspector struct {
	o      IntrospectorOptions
	client *http.Client
	ctx    context.Context // of the questions, which outlive those who asked them
	stop   context.CancelFunc
	asking sync.WaitGroup

	mu        sync.Mutex // guards what follows
	closed    bool
	questions map[[sha256.Size]byte]*question
}

// question is one that is being asked. The answer is there when done is closed.
type question struct {
	done   chan struct{}
	answer Answer
	err    error
}

// NewIntrospector returns an Introspector. Its errors are for operators.
func NewIntrospector(o IntrospectorOptions) (*Introspector, error) {
	_, err := parseURL(o.URL)
	switch {
	case err != nil:
	case o.Client == "" || o.Secret.Reveal() == "":
		err = errors.New("a client and its secret are needed")
	case o.SecretIn > SecretInBody:
		err = errors.New("the secret is sent in the header or in the body")
	case slices.Contains(o.Audience, ""):
		err = errors.New("an audience has no name")
	case o.Keep < 0:
		err = fmt.Errorf("an answer cannot be kept for %v", o.Keep)
	default:
		err = checkLeeway(o.Leeway)
	}
	if err != nil {
		return nil, fmt.Errorf("ask about tokens: %w", err)
	}
	if o.Keep == 0 {
		o.Keep = DefaultKeep
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	i := &Introspector{o: o, client: guarded(o.HTTP, nowhere), questions: make(map[[sha256.Size]byte]*question)}
	i.ctx, i.stop = context.WithCancel(context.Background())
	return i, nil
}

// Close gives up what is being asked, and waits for that.
func (i *Introspector) Close() {
	i.mu.Lock()
	i.closed = true
	i.mu.Unlock()
	i.stop()
	i.asking.Wait()
}

// Ask returns what the issuer says of token. What it does not stand for, or not
// for us, or not now, is an Answer that is not Active; an error wraps
// ErrUnreachable, and says that nothing is known. Those who ask about the same
// token at the same time get the same answer.
func (i *Introspector) Ask(ctx context.Context, token string) (Answer, error) {
	if !isBearer(token) {
		return Answer{Keep: keepInactive}, nil
	}
	q, err := i.join(token)
	if err != nil {
		return Answer{}, unreachable(err)
	}
	select {
	case <-q.done:
		return q.answer, q.err
	case <-ctx.Done():
		return Answer{}, unreachable(context.Cause(ctx))
	}
}

// isBearer reports whether text can be a bearer token at all (RFC 6750 §2.1).
func isBearer(text string) bool {
	if len(text) > MaxLength {
		return false
	}
	text = strings.TrimRight(text, "=")
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._~+/", r))
	})
}

// join returns the question about token that is being asked, or begins to ask it.
func (i *Introspector) join(token string) (*question, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	digest := sha256.Sum256([]byte(token))
	if q := i.questions[digest]; q != nil {
		return q, nil
	}
	if i.closed {
		return nil, errors.New("it is closed")
	}
	if len(i.questions) >= maxQuestions {
		return nil, errors.New("it is being asked too much")
	}
	q := &question{done: make(chan struct{})}
	i.questions[digest] = q
	i.asking.Go(func() {
		defer close(q.done)
		q.answer, q.err = i.ask(token)
		i.mu.Lock()
		defer i.mu.Unlock()
		delete(i.questions, digest)
	})
	return q, nil
}

func (i *Introspector) ask(token string) (Answer, error) {
	r, err := i.request(token)
	if err != nil {
		return Answer{}, unreachable(err)
	}
	body, _, err := call(i.ctx, i.client, r)
	if err != nil {
		return Answer{}, unreachable(err)
	}
	claims, err := parseObject(body)
	if err != nil {
		return Answer{}, unreachable(err)
	}
	active, ok := claims["active"].(bool)
	if !ok {
		return Answer{}, unreachable(errors.New("its answer does not say whether the token is active"))
	}
	if !active {
		return Answer{Keep: keepInactive}, nil
	}
	return i.judge(claims, i.o.Now())
}

func (i *Introspector) request(token string) (*http.Request, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	if i.o.SecretIn == SecretInBody {
		form.Set("client_id", i.o.Client)
		form.Set("client_secret", i.o.Secret.Reveal())
	}
	r, err := http.NewRequest(http.MethodPost, i.o.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if i.o.SecretIn == SecretInHeader {
		// Both are form-encoded first, or a colon in one would end it.
		pair := url.QueryEscape(i.o.Client) + ":" + url.QueryEscape(i.o.Secret.Reveal())
		r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
	}
	return r, nil
}

// judge says what an active token comes to at now. What the issuer says of times
// and names must be readable: what is not is its fault, and not the token's.
func (i *Introspector) judge(claims map[string]any, now time.Time) (Answer, error) {
	p, why := readPeriod(claims)
	issuer, ok := textOf(claims, claimIssuer)
	switch {
	case why != "":
		return Answer{}, unreachable(errors.New("in its answer " + why))
	case !ok || i.o.Issuer != "" && issuer != "" && issuer != i.o.Issuer:
	case len(i.o.Audience) > 0 && forUs(claims, i.o.Audience) != "":
	case p.expired(now, i.o.Leeway) || p.begun(now, i.o.Leeway) != "":
	case named(claims) != "" || bound(claims) != "":
	default:
		keep := i.o.Keep
		if !p.expires.IsZero() {
			keep = min(keep, max(p.expires.Sub(now), 0))
		}
		return Answer{Active: true, Claims: Claims{Expires: p.expires, values: claims}, Keep: keep}, nil
	}
	return Answer{Keep: keepInactive}, nil
}

package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sallyport/sallyport/internal/apikey"
)

// Client calls the admin API of a running server. Safe for concurrent use.
type Client struct {
	base  string
	token apikey.Secret
	http  *http.Client
}

// NewClient returns a client for the server at base, such as
// http://127.0.0.1:9192.
func NewClient(base string, token apikey.Secret) *Client {
	return &Client{base: strings.TrimRight(base, "/"), token: token, http: &http.Client{Timeout: 30 * time.Second}}
}

// ErrUnreachable says that the server did not answer as one.
var ErrUnreachable = errors.New("server not reached")

// Refused is the server's word that it will not.
type Refused struct {
	Status int
	Detail string
	Errors []FieldError
}

// FieldError says what is wrong with one field, such as body.scopes[1]; "" is
// the whole.
type FieldError struct{ Location, Message string }

func (e FieldError) String() string {
	if e.Location == "" {
		return e.Message
	}
	return e.Location + " " + e.Message
}

func (e *Refused) Error() string {
	if len(e.Errors) == 0 {
		return e.Detail
	}
	lines := make([]string, len(e.Errors))
	for i, one := range e.Errors {
		lines[i] = one.String()
	}
	return e.Detail + ": " + strings.Join(lines, "; ")
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	text, err := c.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%w: the answer is not the admin API's: %w", ErrUnreachable, err)
	}
	return nil
}

// send returns the answer as it comes.
func (c *Client) send(ctx context.Context, method, path string, in any) ([]byte, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if resp.StatusCode >= 300 {
		return nil, refusal(resp.StatusCode, text)
	}
	return text, nil
}

// refusal reads a problem (RFC 9457).
func refusal(status int, text []byte) error {
	var problem huma.ErrorModel
	if err := json.Unmarshal(text, &problem); err != nil || problem.Status == 0 {
		return fmt.Errorf("%w: status %d, and not from the admin API", ErrUnreachable, status)
	}
	r := &Refused{Status: status, Detail: problem.Detail}
	for _, e := range problem.Errors {
		r.Errors = append(r.Errors, FieldError{e.Location, e.Message})
	}
	return r
}

package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
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
	Errors []string // what is wrong with which field
}

func (e *Refused) Error() string {
	if len(e.Errors) == 0 {
		return e.Detail
	}
	return e.Detail + ": " + strings.Join(e.Errors, "; ")
}

// CreateTenant makes a tenant.
func (c *Client) CreateTenant(ctx context.Context, in NewTenant) (out Tenant, err error) {
	return out, c.call(ctx, http.MethodPost, "/admin/v1/tenants", in, &out)
}

// Tenants lists one page of the tenants of api, after the one called after.
func (c *Client) Tenants(ctx context.Context, api, after string) (out TenantList, err error) {
	return out, c.call(ctx, http.MethodGet, "/admin/v1/tenants"+query("api", api, "after", after), nil, &out)
}

// Tenant shows a tenant.
func (c *Client) Tenant(ctx context.Context, api, id string) (out Tenant, err error) {
	return out, c.call(ctx, http.MethodGet, tenantPath(api, id), nil, &out)
}

// ChangeTenant changes a tenant.
func (c *Client) ChangeTenant(ctx context.Context, api, id string, in TenantChange) (out Tenant, err error) {
	return out, c.call(ctx, http.MethodPatch, tenantPath(api, id), in, &out)
}

// CreateKey makes a key. Its secret is in the answer, and nowhere again.
func (c *Client) CreateKey(ctx context.Context, in NewKey) (out CreatedKey, err error) {
	return out, c.call(ctx, http.MethodPost, "/admin/v1/keys", in, &out)
}

// Keys lists one page of keys; empty filters match all.
func (c *Client) Keys(ctx context.Context, api, tenant, state, after string) (out KeyList, err error) {
	return out, c.call(ctx, http.MethodGet, "/admin/v1/keys"+query("api", api, "tenant", tenant, "state", state, "after", after), nil, &out)
}

// Key shows a key.
func (c *Client) Key(ctx context.Context, id string) (out Key, err error) {
	return out, c.call(ctx, http.MethodGet, "/admin/v1/keys/"+url.PathEscape(id), nil, &out)
}

// ChangeKey changes a key.
func (c *Client) ChangeKey(ctx context.Context, id string, in KeyChange) (out Key, err error) {
	return out, c.call(ctx, http.MethodPatch, "/admin/v1/keys/"+url.PathEscape(id), in, &out)
}

// RevokeKey ends a key for good.
func (c *Client) RevokeKey(ctx context.Context, id string) (out Key, err error) {
	return out, c.call(ctx, http.MethodPost, "/admin/v1/keys/"+url.PathEscape(id)+"/revoke", nil, &out)
}

func tenantPath(api, id string) string {
	return "/admin/v1/tenants/" + url.PathEscape(api) + "/" + url.PathEscape(id)
}

// query writes pairs of names and values, leaving out the empty ones.
func query(pairs ...string) string {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			values.Set(pairs[i], pairs[i+1])
		}
	}
	if len(values) == 0 {
		return ""
	}
	return "?" + values.Encode()
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if resp.StatusCode >= 300 {
		return refusal(resp.StatusCode, text)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%w: the answer is not the admin API's: %w", ErrUnreachable, err)
	}
	return nil
}

// refusal reads a problem (RFC 9457).
func refusal(status int, text []byte) error {
	var problem huma.ErrorModel
	if err := json.Unmarshal(text, &problem); err != nil || problem.Status == 0 {
		return fmt.Errorf("%w: status %d, and not from the admin API", ErrUnreachable, status)
	}
	r := &Refused{Status: status, Detail: problem.Detail}
	for _, e := range problem.Errors {
		line := e.Message
		if e.Location != "" {
			line = e.Location + " " + e.Message
		}
		r.Errors = append(r.Errors, line)
	}
	return r
}

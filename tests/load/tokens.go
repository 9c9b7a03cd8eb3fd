package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// clients are OAuth clients of a gate, by what each sends for a token.
type clients struct {
	gate  *gate
	conn  *grpc.ClientConn
	forms []url.Values
}

// makeClients makes n clients, which close ends.
func (g *gate) makeClients(ctx context.Context, n int) (*clients, error) {
	conn, err := grpc.NewClient(g.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	all := &clients{gate: g, conn: conn}
	for range n {
		out, err := g.cli(ctx, "client", "create", "--api", "orders", "--tenant", "t1", "--scopes", "orders:read", "--json")
		var made struct {
			ID     string `json:"client_id"`
			Secret string `json:"client_secret"`
		}
		if err == nil {
			err = json.Unmarshal(out, &made)
		}
		if err != nil {
			all.close()
			return nil, fmt.Errorf("sallyport client create: %w", err)
		}
		all.forms = append(all.forms, url.Values{"grant_type": {"client_credentials"}, "client_id": {made.ID}, "client_secret": {made.Secret}})
	}
	return all, nil
}

func (c *clients) close() { c.conn.Close() }

// tokens has the gate issue n access tokens to the clients in turn.
func (c *clients) tokens(ctx context.Context, n int) (tokens []string, err error) {
	for i := range n {
		token, err := c.gate.issue(ctx, authv3.NewAuthorizationClient(c.conn), c.forms[i%len(c.forms)])
		if err != nil {
			return nil, fmt.Errorf("get a token: %w", err)
		}
		tokens = append(tokens, token)
	}
	return tokens, nil
}

// issuing returns the CPU time that the gate spends on one token, its Check
// included: the lower quartile of rounds.
func (c *clients) issuing(ctx context.Context, cpu cpuClocks, rounds int) (time.Duration, error) {
	const warmUp, each = 50, 100
	if _, err := c.tokens(ctx, warmUp); err != nil {
		return 0, err
	}
	var times []time.Duration
	for range rounds {
		before, err := cpu.now()
		if err != nil {
			return 0, err
		}
		if _, err := c.tokens(ctx, each); err != nil {
			return 0, err
		}
		after, err := cpu.now()
		if err != nil {
			return 0, err
		}
		times = append(times, (after-before)/each)
	}
	return lowerQuartile(times), nil
}

// issue asks for a token as Envoy passes such a request on: what Check adds to it
// lets it reach the endpoint.
func (g *gate) issue(ctx context.Context, check authv3.AuthorizationClient, form url.Values) (string, error) {
	const host, path = "api.orders.test", "/oauth2/token"
	var headers []*corev3.HeaderValue
	for _, h := range [][2]string{{":authority", host}, {":path", path}, {":method", "POST"}, {":scheme", "http"}, {"x-sallyport-sid", sidMark}} {
		headers = append(headers, &corev3.HeaderValue{Key: h[0], RawValue: []byte(h[1])})
	}
	decision, err := check.Check(ctx, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: peer("192.0.2.2", 58448), Destination: peer("192.0.2.1", 10000),
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "POST", Path: path, Host: host, Scheme: "http", HeaderMap: &corev3.HeaderMap{Headers: headers},
		}},
		ContextExtensions: map[string]string{"api": "orders", "chain": "fused"},
	}})
	if err != nil {
		return "", err
	}
	ok := decision.GetOkResponse()
	if ok == nil {
		return "", errors.New("it is refused: " + decision.GetStatus().String())
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.http+path, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	r.Host = host
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, h := range ok.GetHeaders() {
		r.Header.Set(h.GetHeader().GetKey(), h.GetHeader().GetValue()+string(h.GetHeader().GetRawValue()))
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return "", err
	}
	var got struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &got); err != nil || got.Token == "" {
		return "", fmt.Errorf("the endpoint answers %d: %s", answer.StatusCode, body)
	}
	return got.Token, nil
}

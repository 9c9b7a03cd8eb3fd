package admin

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// The calls of a Client. Lists come in pages: after is the Next of the page
// before, "" for the first.

// CreateTenant makes a tenant.
func (c *Client) CreateTenant(ctx context.Context, in NewTenant) (out Tenant, err error) {
	return out, c.call(ctx, http.MethodPost, "/admin/v1/tenants", in, &out)
}

// Tenants lists one page of the tenants of api.
func (c *Client) Tenants(ctx context.Context, api, after string) (out TenantList, err error) {
	return out, c.call(ctx, http.MethodGet, "/admin/v1/tenants"+query("api", api, "after", after), nil, &out)
}

// Tenant shows a tenant.
func (c *Client) Tenant(ctx context.Context, api, id string) (out Tenant, err error) {
	return out, c.call(ctx, http.MethodGet, route("tenants", api, id), nil, &out)
}

// ChangeTenant changes a tenant.
func (c *Client) ChangeTenant(ctx context.Context, api, id string, in TenantChange) (out Tenant, err error) {
	return out, c.call(ctx, http.MethodPatch, route("tenants", api, id), in, &out)
}

// CreateUser makes a user.
func (c *Client) CreateUser(ctx context.Context, in NewUser) (out User, err error) {
	return out, c.call(ctx, http.MethodPost, "/admin/v1/users", in, &out)
}

// Users lists one page of a tenant's users; state "" is any.
func (c *Client) Users(ctx context.Context, api, tenant, state, after string) (out UserList, err error) {
	return out, c.call(ctx, http.MethodGet, "/admin/v1/users"+query("api", api, "tenant", tenant, "state", state, "after", after), nil, &out)
}

// User shows a user.
func (c *Client) User(ctx context.Context, api, tenant, id string) (out User, err error) {
	return out, c.call(ctx, http.MethodGet, route("users", api, tenant, id), nil, &out)
}

// ChangeUser changes a user.
func (c *Client) ChangeUser(ctx context.Context, api, tenant, id string, in UserChange) (out ChangedUser, err error) {
	return out, c.call(ctx, http.MethodPatch, route("users", api, tenant, id), in, &out)
}

// Roles lists the roles of api, and the own ones of tenant unless it is "".
func (c *Client) Roles(ctx context.Context, api, tenant string) (out RoleList, err error) {
	return out, c.call(ctx, http.MethodGet, "/admin/v1/roles"+query("api", api, "tenant", tenant), nil, &out)
}

// PutRole makes or replaces a role of a tenant's own.
func (c *Client) PutRole(ctx context.Context, api, tenant, name string, in NewRole) (out ChangedRole, err error) {
	return out, c.call(ctx, http.MethodPut, route("roles", api, tenant, name), in, &out)
}

// DeleteRole deletes a role of a tenant's own.
func (c *Client) DeleteRole(ctx context.Context, api, tenant, name string) (out DeletedRole, err error) {
	return out, c.call(ctx, http.MethodDelete, route("roles", api, tenant, name), nil, &out)
}

// CreateKey makes a key. Its secret is in the answer, and nowhere again.
func (c *Client) CreateKey(ctx context.Context, in NewKey) (out CreatedKey, err error) {
	return out, c.call(ctx, http.MethodPost, "/admin/v1/keys", in, &out)
}

// ImportKeys brings in keys that exist elsewhere, all or none.
func (c *Client) ImportKeys(ctx context.Context, in ImportKeys) (out ImportedKeys, err error) {
	return out, c.call(ctx, http.MethodPost, "/admin/v1/keys/import", in, &out)
}

// Keys lists one page of keys.
func (c *Client) Keys(ctx context.Context, f KeyFilter, after string) (out KeyList, err error) {
	return out, c.call(ctx, http.MethodGet, "/admin/v1/keys"+query(
		"api", f.API, "tenant", f.Tenant, "user", f.User, "kind", f.Kind, "name", f.Name, "state", f.State, "after", after), nil, &out)
}

// Key shows a key.
func (c *Client) Key(ctx context.Context, id string) (out Key, err error) {
	return out, c.call(ctx, http.MethodGet, route("keys", id), nil, &out)
}

// ChangeKey changes a key.
func (c *Client) ChangeKey(ctx context.Context, id string, in KeyChange) (out Key, err error) {
	return out, c.call(ctx, http.MethodPatch, route("keys", id), in, &out)
}

// RollKey gives a key a new secret, which is in the answer, and nowhere again.
func (c *Client) RollKey(ctx context.Context, id string, in RollKey) (out RolledKey, err error) {
	return out, c.call(ctx, http.MethodPost, route("keys", id, "roll"), in, &out)
}

// RevokeKey ends a key for good.
func (c *Client) RevokeKey(ctx context.Context, id string) (out Key, err error) {
	return out, c.call(ctx, http.MethodPost, route("keys", id, "revoke"), nil, &out)
}

// Limits says how limits stand.
func (c *Client) Limits(ctx context.Context, of LimitsOf) (out LimitList, err error) {
	return out, c.call(ctx, http.MethodGet, "/admin/v1/limits"+query("api", of.API, "tenant", of.Tenant, "key", of.Key, "operation", of.Operation), nil, &out)
}

// ResetLimits makes counters begin anew.
func (c *Client) ResetLimits(ctx context.Context, in ResetLimits) (out SteeredLimits, err error) {
	return out, c.call(ctx, http.MethodPost, route("limits", "reset"), in, &out)
}

// RefundLimit gives hits back.
func (c *Client) RefundLimit(ctx context.Context, in RefundLimit) (out SteeredLimits, err error) {
	return out, c.call(ctx, http.MethodPost, route("limits", "refund"), in, &out)
}

// PutOverride gives a tenant or a key windows of one limit in place of what the
// plan says.
func (c *Client) PutOverride(ctx context.Context, in NewOverride) (out Overrides, err error) {
	return out, c.call(ctx, http.MethodPut, route("limits", "override"), in, &out)
}

// LiftOverride lifts what PutOverride gave.
func (c *Client) LiftOverride(ctx context.Context, of LimitsOf, limit string) (out Overrides, err error) {
	return out, c.call(ctx, http.MethodDelete, route("limits", "override")+query("api", of.API, "tenant", of.Tenant, "key", of.Key, "limit", limit), nil, &out)
}

// CreateToken makes an admin token. Its secret is in the answer, and nowhere
// again.
func (c *Client) CreateToken(ctx context.Context, in NewToken) (out CreatedToken, err error) {
	return out, c.call(ctx, http.MethodPost, "/admin/v1/tokens", in, &out)
}

// Tokens lists all admin tokens.
func (c *Client) Tokens(ctx context.Context) (out TokenList, err error) {
	return out, c.call(ctx, http.MethodGet, "/admin/v1/tokens", nil, &out)
}

// RevokeToken ends an admin token for good.
func (c *Client) RevokeToken(ctx context.Context, id string) (out Token, err error) {
	return out, c.call(ctx, http.MethodPost, route("tokens", id, "revoke"), nil, &out)
}

// Reload makes the server read its configuration again.
func (c *Client) Reload(ctx context.Context) (out Reloaded, err error) {
	return out, c.call(ctx, http.MethodPost, "/admin/v1/reload", nil, &out)
}

// Profile gathers one of Profiles.
func (c *Client) Profile(ctx context.Context, in ProfileRequest) ([]byte, error) {
	return c.send(ctx, http.MethodGet, "/admin/v1/profile"+query("kind", in.Kind, "seconds", strconv.Itoa(in.Seconds)), nil)
}

// Explain says how a request would be decided.
func (c *Client) Explain(ctx context.Context, in ExplainRequest) (out Explanation, err error) {
	return out, c.call(ctx, http.MethodPost, "/admin/v1/explain", in, &out)
}

// CreateSender registers a sender of webhooks. A secret that was made for it is in
// the answer, and nowhere again.
func (c *Client) CreateSender(ctx context.Context, in NewSender) (out CreatedSender, err error) {
	return out, c.call(ctx, http.MethodPost, "/admin/v1/senders", in, &out)
}

// Senders lists one page of the senders of api; tenant "" is any.
func (c *Client) Senders(ctx context.Context, api, tenant, after string) (out SenderList, err error) {
	return out, c.call(ctx, http.MethodGet, "/admin/v1/senders"+query("api", api, "tenant", tenant, "after", after), nil, &out)
}

// Sender shows a sender.
func (c *Client) Sender(ctx context.Context, api, id string) (out Sender, err error) {
	return out, c.call(ctx, http.MethodGet, route("senders", api, id), nil, &out)
}

// ChangeSender changes a sender.
func (c *Client) ChangeSender(ctx context.Context, api, id string, in SenderChange) (out Sender, err error) {
	return out, c.call(ctx, http.MethodPatch, route("senders", api, id), in, &out)
}

// RollSender gives a sender a new secret. One that was made is in the answer, and
// nowhere again.
func (c *Client) RollSender(ctx context.Context, api, id string, in RollSender) (out RolledSender, err error) {
	return out, c.call(ctx, http.MethodPost, route("senders", api, id, "roll"), in, &out)
}

// SettleSender ends all secrets of a sender but the newest.
func (c *Client) SettleSender(ctx context.Context, api, id string) (out Sender, err error) {
	return out, c.call(ctx, http.MethodPost, route("senders", api, id, "settle"), nil, &out)
}

// RevokeSender ends a sender for good.
func (c *Client) RevokeSender(ctx context.Context, api, id string) (out Sender, err error) {
	return out, c.call(ctx, http.MethodPost, route("senders", api, id, "revoke"), nil, &out)
}

// route is the path of an operation: segments are escaped.
func route(segments ...string) string {
	var b strings.Builder
	b.WriteString("/admin/v1")
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
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

// CreateOAuthClient registers a client. Its secret is in the answer, and nowhere
// again.
func (c *Client) CreateOAuthClient(ctx context.Context, in NewOAuthClient) (out CreatedClient, err error) {
	return out, c.call(ctx, http.MethodPost, "/admin/v1/clients", in, &out)
}

// OAuthClients lists one page of clients; empty parameters match all.
func (c *Client) OAuthClients(ctx context.Context, api, tenant, state, after string) (out OAuthClientList, err error) {
	return out, c.call(ctx, http.MethodGet, "/admin/v1/clients"+query("api", api, "tenant", tenant, "state", state, "after", after), nil, &out)
}

// OAuthClient shows a client.
func (c *Client) OAuthClient(ctx context.Context, id string) (out OAuthClient, err error) {
	return out, c.call(ctx, http.MethodGet, route("clients", id), nil, &out)
}

// ChangeOAuthClient changes a client.
func (c *Client) ChangeOAuthClient(ctx context.Context, id string, in OAuthClientChange) (out OAuthClient, err error) {
	return out, c.call(ctx, http.MethodPatch, route("clients", id), in, &out)
}

// RollOAuthClient gives a client a new secret, which is in the answer, and nowhere
// again.
func (c *Client) RollOAuthClient(ctx context.Context, id string, in RollKey) (out RolledClient, err error) {
	return out, c.call(ctx, http.MethodPost, route("clients", id, "roll"), in, &out)
}

// RevokeOAuthClient ends a client for good.
func (c *Client) RevokeOAuthClient(ctx context.Context, id string) (out OAuthClient, err error) {
	return out, c.call(ctx, http.MethodPost, route("clients", id, "revoke"), nil, &out)
}

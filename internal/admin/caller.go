package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sallyport/sallyport"
)

// Roles of admin tokens: each may do what those before it may, and more.
const (
	RoleViewer   = "viewer"   // reads
	RoleOperator = "operator" // changes tenants, users, roles and keys
	RoleAdmin    = "admin"    // makes admin tokens, and reloads
)

var ranks = []string{RoleViewer, RoleOperator, RoleAdmin}

// Roles lists the roles of admin tokens.
func Roles() []string { return slices.Clone(ranks) }

// caller is who makes a call: whose admin token it has, and what that is for.
// The zero value may do nothing.
type caller struct {
	token       string // its id
	role        string
	api, tenant string    // all that exists for it; "": any
	end         time.Time // of the token; zero: never

	credential *sallyport.Credential // who calls an API's own endpoint; nil: whoever has an admin token
}

// covers reports whether what belongs to tenant exists for c.
func (c caller) covers(api, tenant string) bool {
	return (c.api == "" || c.api == api) && (c.tenant == "" || c.tenant == tenant)
}

type callerKey struct{}

func withCaller(ctx context.Context, c caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// callerOf returns who makes the call that ctx is of.
func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// scope is how far a token must reach.
type scope uint8

const (
	_          scope = iota // nobody's does
	fromTenant              // a tenant; the operation shows and changes no more than that
	fromAPI                 // a whole API
	fromAll                 // everything
)

// need is what an operation asks of the caller's token. The zero value is met
// by none.
type need struct {
	role string
	scope
}

// needs says who may do what, by the operation's id. What is not listed is
// refused.
var needs = map[string]need{
	"status":        {RoleViewer, fromTenant},
	"explain":       {RoleViewer, fromTenant},
	"list-tenants":  {RoleViewer, fromTenant},
	"show-tenant":   {RoleViewer, fromTenant},
	"create-tenant": {RoleOperator, fromAPI},
	"change-tenant": {RoleOperator, fromTenant}, // plan, limits, overrides and state: fromAPI
	"list-users":    {RoleViewer, fromTenant},
	"show-user":     {RoleViewer, fromTenant},
	"create-user":   {RoleOperator, fromTenant},
	"change-user":   {RoleOperator, fromTenant},
	"list-roles":    {RoleViewer, fromTenant},
	"put-role":      {RoleOperator, fromTenant},
	"delete-role":   {RoleOperator, fromTenant},
	"list-keys":     {RoleViewer, fromTenant},
	"show-key":      {RoleViewer, fromTenant},
	"create-key":    {RoleOperator, fromTenant}, // plan and overrides: fromAPI
	"change-key":    {RoleOperator, fromTenant}, // plan and overrides: fromAPI
	"revoke-key":    {RoleOperator, fromTenant},
	"roll-key":      {RoleOperator, fromTenant},
	"import-keys":   {RoleOperator, fromTenant},
	"list-clients":  {RoleViewer, fromTenant},
	"show-client":   {RoleViewer, fromTenant},
	"create-client": {RoleOperator, fromTenant},
	"change-client": {RoleOperator, fromTenant},
	"revoke-client": {RoleOperator, fromTenant},
	"roll-client":   {RoleOperator, fromTenant},
	"list-senders":  {RoleViewer, fromTenant},
	"show-sender":   {RoleViewer, fromTenant},
	"create-sender": {RoleOperator, fromTenant}, // by a name of the configuration: fromAPI
	"change-sender": {RoleOperator, fromTenant},
	"roll-sender":   {RoleOperator, fromTenant},
	"settle-sender": {RoleOperator, fromTenant},
	"revoke-sender": {RoleOperator, fromTenant},
	"show-limits":   {RoleViewer, fromTenant},
	"reset-limits":  {RoleOperator, fromAPI},
	"refund-limit":  {RoleOperator, fromAPI},
	"put-override":  {RoleOperator, fromAPI},
	"lift-override": {RoleOperator, fromAPI},
	"list-tokens":   {RoleAdmin, fromTenant},
	"create-token":  {RoleAdmin, fromTenant},
	"revoke-token":  {RoleAdmin, fromTenant},
	"reload":        {RoleAdmin, fromAll},
	"profile":       {RoleAdmin, fromAll},
}

// refuses says why c may not do what n is the need of, or nothing.
func (n need) refuses(c caller) string {
	switch {
	case n.scope == 0:
		return "this operation is not for any token"
	case slices.Index(ranks, c.role) < slices.Index(ranks, n.role):
		return fmt.Sprintf("this needs an admin token of role %s, and yours is of role %s", n.role, c.role)
	case n.scope > fromTenant && c.tenant != "":
		return "this is not for an admin token of one tenant"
	case n.scope > fromAPI && c.api != "":
		return "this is not for an admin token of one API"
	}
	return ""
}

// permit lets a call through to its operation if the caller's token is enough.
func permit(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		why := needs[ctx.Operation().OperationID].refuses(callerOf(ctx.Context()))
		if why == "" {
			next(ctx)
			return
		}
		// The caller may have gone; there is nobody else to tell.
		_ = huma.WriteErr(api, ctx, http.StatusForbidden, why)
	}
}

// policyFor is the policy as far as the caller's token reaches: for it other
// APIs are not there.
func (h *Handler) policyFor(ctx context.Context) *sallyport.Policy {
	p, c := h.policy(), callerOf(ctx)
	if c.api == "" {
		return p
	}
	own := &sallyport.Policy{Chain: p.Chain}
	if api := p.API(c.api); api != nil {
		own.APIs = append(own.APIs, api)
	}
	return own
}

// errElsewhere is the answer about what does not exist for the caller: the
// same as about what does not exist.
var errElsewhere = fmt.Errorf("not for this token: %w", sallyport.ErrNotFound)

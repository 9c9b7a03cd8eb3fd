package demo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/admin"
)

// API is one guarded API as the demo shows it.
type API struct {
	URL     string   `json:"url"`
	Hosts   []string `json:"hosts"`
	Tenants []Tenant `json:"tenants"`
}

// Tenant is a seeded tenant with its keys, and where its API has them its OAuth
// clients.
type Tenant struct {
	ID      string   `json:"id"`
	Plan    string   `json:"plan"`
	Keys    []Key    `json:"keys"`
	Clients []Client `json:"clients"`
	Users   []User   `json:"users"`
	Senders []Sender `json:"senders"`
}

// Sender is a seeded sender of webhooks with its secret.
type Sender struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// User is a seeded user who can sign in.
type User struct {
	Login    string `json:"login"`
	Password string `json:"password"`
}

// Client is a seeded OAuth client with its secret.
type Client struct {
	ClientID string `json:"client_id"`
	Secret   string `json:"client_secret"`

	RedirectURIs []string `json:"redirect_uris,omitempty"`
}

// redirect is where a client of the demo has its users sent back to: a port of this
// machine where nobody listens, so that a browser shows the code in its address.
const redirect = "http://127.0.0.1:8912/callback"

// Key is a seeded key with its secret: the demo is there to show them.
type Key struct {
	KeyID       string   `json:"key_id"`
	Key         string   `json:"key"`
	Permissions []string `json:"permissions"`
	State       string   `json:"state"`
}

// What a tenant gets whose plan leaves the windows to it: enough for load.
var ownWindows = []string{"10000000/1m", "1000000000/1h"}

// seed makes one tenant of every plan of api, each with a key for everything
// and two for the least that reads.
func seed(ctx context.Context, c *admin.Client, api *sallyport.API) (tenants []Tenant, err error) {
	plans := api.Plans
	if len(plans) == 0 {
		plans = []string{""}
	}
	for _, plan := range plans {
		t := Tenant{ID: "org_" + plan, Plan: plan, Clients: []Client{}, Users: []User{}, Senders: []Sender{}}
		if plan == "" {
			t.ID = "org_default"
		}
		in := admin.NewTenant{API: api.Name, ID: t.ID, Plan: plan, Name: "Demo " + plan, Limits: map[string][]string{}}
		for _, l := range api.Limits {
			if l.Plans[plan].FromTenant {
				in.Limits[l.Name] = ownWindows
			}
		}
		if _, err := c.CreateTenant(ctx, in); err != nil {
			return nil, fmt.Errorf("seed tenant %s: %w", t.ID, err)
		}
		s := seeder{c, api, t.ID, formOf(api)}
		for _, one := range []rights{{"everything", everything(api)}, {"reader", leastRead(api)}, {"reader", leastRead(api)}} {
			k, err := s.key(ctx, one, len(t.Keys)+1)
			if err != nil {
				return nil, fmt.Errorf("seed key of %s: %w", t.ID, err)
			}
			t.Keys = append(t.Keys, k)
		}
		if err := s.oauth(ctx, &t); err != nil {
			return nil, fmt.Errorf("seed OAuth of %s: %w", t.ID, err)
		}
		if t.Senders, err = s.senders(ctx, len(tenants) == 0); err != nil {
			return nil, fmt.Errorf("seed sender of %s: %w", t.ID, err)
		}
		tenants = append(tenants, t)
	}
	return tenants, nil
}

// rights are what a key is to have, and a name for whoever has them.
type rights struct {
	name   string
	scopes []string
}

// seeder makes keys of one tenant, as its API wants them made.
type seeder struct {
	*admin.Client
	api    *sallyport.API
	tenant string
	form   *sallyport.KeyForm
}

// formOf is the form of the keys to show: the first that is for all of the API.
func formOf(api *sallyport.API) *sallyport.KeyForm {
	for i := range api.Keys {
		if f := &api.Keys[i]; f.Access == sallyport.AccessUnset && !f.Sandbox && !f.Exchange {
			return f
		}
	}
	return &api.Keys[0]
}

func (s *seeder) key(ctx context.Context, r rights, number int) (k Key, err error) {
	in := admin.NewKey{
		API: s.api.Name, Tenant: s.tenant, Prefix: s.form.Prefix, ExpiresAt: s.end(),
		Name: fmt.Sprintf("demo key %d, %s", number, r.name),
	}
	switch {
	case s.form.Kind == sallyport.KindPAT:
		in.User = r.name
		err = s.user(ctx, r)
	case s.form.Role:
		in.Roles = make([]string, 1)
		in.Roles[0], err = s.role(ctx, r)
	default:
		in.Scopes = r.scopes
	}
	if err != nil {
		return k, err
	}
	made, err := s.CreateKey(ctx, in)
	if err != nil {
		return k, err
	}
	return Key{KeyID: made.KeyID, Key: made.Secret.Reveal(), Permissions: r.scopes, State: made.State}, nil
}

// oauth makes a client, and where users can sign in one who does, if the plan of t
// has such.
func (s *seeder) oauth(ctx context.Context, t *Tenant) error {
	all := rights{"everything", everything(s.api)}
	for _, op := range s.api.Operations {
		if len(op.Plans) > 0 && !slices.Contains(op.Plans, t.Plan) {
			continue
		}
		switch op.Serve {
		case sallyport.ServeToken:
			client, err := s.client(ctx, all, slices.Contains(op.Grants, sallyport.GrantAuthorizationCode))
			if err != nil {
				return err
			}
			t.Clients = append(t.Clients, client)
		case sallyport.ServeAuthorize:
			if len(t.Users) > 0 {
				continue // the endpoint takes two methods
			}
			u := User{all.name + "@" + t.ID, random()}
			if err := s.user(ctx, all); err != nil {
				return err
			}
			_, err := s.ChangeUser(ctx, s.api.Name, s.tenant, all.name, admin.UserChange{Login: admin.Some(u.Login), Password: admin.Some(admin.Shown(u.Password))})
			if err != nil {
				return err
			}
			t.Users = append(t.Users, u)
		}
	}
	return nil
}

// senders makes who signs webhooks: where the path names the sender, one of the
// tenant's; and those that the configuration names, for the first tenant alone.
func (s *seeder) senders(ctx context.Context, first bool) (all []Sender, err error) {
	all = []Sender{}
	for _, op := range s.api.Operations {
		if op.Webhook == nil || op.Webhook.Sender != "" && !first {
			continue
		}
		id := or(op.Webhook.Sender, s.tenant)
		if slices.ContainsFunc(all, func(made Sender) bool { return made.ID == id }) {
			continue // it signs for more than one operation
		}
		made, err := s.CreateSender(ctx, admin.NewSender{API: s.api.Name, Tenant: s.tenant, ID: id, Name: "Demo sender"})
		if err != nil {
			return nil, err
		}
		all = append(all, Sender{id, made.Secret.Reveal()})
	}
	return all, nil
}

// client makes a client: for users, or with rights of its own.
func (s *seeder) client(ctx context.Context, r rights, forUsers bool) (Client, error) {
	in := admin.NewOAuthClient{API: s.api.Name, Tenant: s.tenant, Name: "demo client, " + r.name}
	switch {
	case forUsers:
		in.RedirectURIs = []string{redirect}
	case len(s.api.Roles) > 0 || s.api.TenantRoles:
		role, err := s.role(ctx, r)
		if err != nil {
			return Client{}, err
		}
		in.Roles = []string{role}
	default:
		in.Scopes = r.scopes
	}
	made, err := s.CreateOAuthClient(ctx, in)
	return Client{made.ClientID, made.Secret.Reveal(), in.RedirectURIs}, err
}

// end is when a key of the form ends: never, if that may be.
func (s *seeder) end() string {
	for _, choice := range s.form.Expiry {
		if choice != "date" {
			return choice
		}
	}
	switch {
	case len(s.form.Expiry) > 0:
		return time.Now().AddDate(0, 3, 0).Format(time.DateOnly)
	case s.form.MaxAge > 0:
		return fmt.Sprintf("%ds", int64(min(s.form.MaxAge, 90*24*time.Hour)/time.Second))
	}
	return "never"
}

// user makes a user with a role for r, unless there is one.
func (s *seeder) user(ctx context.Context, r rights) error {
	if _, err := s.User(ctx, s.api.Name, s.tenant, r.name); err == nil {
		return nil
	}
	role, err := s.role(ctx, r)
	if err != nil {
		return err
	}
	_, err = s.CreateUser(ctx, admin.NewUser{API: s.api.Name, Tenant: s.tenant, ID: r.name, Name: "Demo " + r.name, Roles: []string{role}})
	return err
}

// role returns the smallest role that gives r; a tenant that may makes one of
// its own rather than give more.
func (s *seeder) role(ctx context.Context, r rights) (name string, err error) {
	for _, role := range slices.Sorted(maps.Keys(s.api.Roles)) {
		gives := s.api.Roles[role]
		if !slices.ContainsFunc(r.scopes, func(scope string) bool { return !s.api.Holds(gives, scope) }) && (name == "" || s.reach(gives) < s.reach(s.api.Roles[name])) {
			name = role
		}
	}
	if s.api.TenantRoles && (name == "" || s.reach(s.api.Roles[name]) > s.reach(r.scopes)) {
		name = "Demo " + r.name
		_, err = s.PutRole(ctx, s.api.Name, s.tenant, name, admin.NewRole{Scopes: r.scopes})
	}
	return name, err
}

// reach is how many scopes whoever holds held has.
func (s *seeder) reach(held []string) (n int) {
	for _, scope := range s.api.Scopes {
		if s.api.Holds(held, scope.Name) {
			n++
		}
	}
	return n
}

// everything is the scope that grants all, else all scopes.
func everything(api *sallyport.API) (scopes []string) {
	for _, s := range api.Scopes {
		if s.GrantsAll {
			return []string{s.Name}
		}
		scopes = append(scopes, s.Name)
	}
	return scopes
}

// leastRead is the scope of the first operation that reads.
func leastRead(api *sallyport.API) []string {
	if op := firstRead(api); op != nil {
		return op.Scopes[:1]
	}
	return nil
}

// firstRead is the first operation without parameters that reads and asks for a
// scope: what there is to try.
func firstRead(api *sallyport.API) *sallyport.Operation {
	for _, op := range api.Operations {
		if op.Method == "GET" && op.Access == sallyport.Read && len(op.Scopes) > 0 && op.Answer == nil && op.Serve == "" && !hasParameter(op.Path) {
			return op
		}
	}
	return nil
}

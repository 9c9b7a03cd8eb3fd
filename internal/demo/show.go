package demo

import (
	"fmt"
	"io"
	"strings"

	"github.com/sallyport/sallyport"
)

// Show prints what runs and what to try, in lines that can be pasted.
func (d *Demo) Show(w io.Writer) {
	fmt.Fprintf(w, "Sallyport guards %d of the examples behind Envoy at %s.\n", len(d.APIs), d.Gateway)
	for _, f := range d.LeftOut {
		fmt.Fprintf(w, "Not enforced here: %s\n", f)
	}
	for _, api := range d.policy.APIs {
		d.showAPI(w, api)
	}
	fmt.Fprintf(w, "\nKeys are made, listed and revoked with the same binary:\n\n"+
		"  export SALLYPORT_URL=%s SALLYPORT_TOKEN=%s\n", d.Admin.URL, d.Admin.Token)
	first := d.policy.APIs[0]
	fmt.Fprintf(w, "  sallyport key list --api %s --tenant %s\n", first.Name, d.APIs[first.Name].Tenants[0].ID)
	fmt.Fprintf(w, "\nCtrl-C ends everything and leaves nothing behind.\n")
}

func (d *Demo) showAPI(w io.Writer, api *sallyport.API) {
	shown := d.APIs[api.Name]
	fmt.Fprintf(w, "\n%s (%s)\n", api.Name, strings.Join(shown.Hosts, ", "))
	for _, t := range shown.Tenants {
		fmt.Fprintf(w, "  tenant %-18s plan %s\n", t.ID, or(t.Plan, "-"))
		for _, k := range t.Keys {
			fmt.Fprintf(w, "    %s  %s  %s\n", k.KeyID, k.Key, strings.Join(k.Permissions, " "))
		}
		for _, c := range t.Clients {
			fmt.Fprintf(w, "    %s  %s\n", c.ClientID, c.Secret)
		}
		for _, s := range t.Senders {
			fmt.Fprintf(w, "    sender %s  %s\n", s.ID, s.Secret)
		}
		for _, u := range t.Users {
			fmt.Fprintf(w, "    login %s  password %s\n", u.Login, u.Password)
		}
	}
	showWebhook(w, api, shown)
	op := firstRead(api)
	if op == nil || len(shown.Tenants) == 0 {
		return
	}
	keys := shown.Tenants[0].Keys
	everything, least := credentialHeader(api, keys[0].Key), credentialHeader(api, keys[1].Key)
	fmt.Fprintf(w, "\n  # passes, and the upstream shows what it was told of the caller\n")
	fmt.Fprintf(w, "  curl -i -H '%s' %s%s\n", least, shown.URL, op.Path)
	fmt.Fprintf(w, "  # 401: nobody's key\n")
	fmt.Fprintf(w, "  curl -i %s%s\n", shown.URL, op.Path)
	if other := forbidden(api, op); other != nil {
		fmt.Fprintf(w, "  # 403: the key has %s, not %s\n", keys[1].Permissions[0], other.Scopes[0])
		fmt.Fprintf(w, "  curl -i -X %s -H '%s' %s%s\n", other.Method, least, shown.URL, other.Path)
	}
	fmt.Fprintf(w, "  # 404: not an operation of this API\n")
	fmt.Fprintf(w, "  curl -i -H '%s' %s/not/there\n", everything, shown.URL)
	if n := smallest(api, shown.Tenants[0].Plan); n > 0 {
		fmt.Fprintf(w, "  # %d pass and 10 get 429 (or some more pass: a new minute began)\n", n)
		fmt.Fprintf(w, "  for i in $(seq %d); do curl -s -o /dev/null -w '%%{http_code}\\n' -H '%s' %s%s; done | sort | uniq -c\n",
			n+10, credentialHeader(api, keys[2].Key), shown.URL, op.Path)
	}
}

// showWebhook prints how the first sender of api signs, where there is one.
func showWebhook(w io.Writer, api *sallyport.API, shown API) {
	for _, op := range api.Operations {
		if op.Webhook == nil || len(shown.Tenants) == 0 || len(shown.Tenants[0].Senders) == 0 {
			continue
		}
		sender := shown.Tenants[0].Senders[0]
		path := strings.ReplaceAll(op.Path, "{"+op.Webhook.Parameter+"}", sender.ID)
		flags := ""
		if op.Webhook.Encoding != sallyport.Hex {
			flags += " --encoding " + op.Webhook.Encoding.String()
		}
		if op.Webhook.Prefix != "" {
			flags += " --prefix '" + op.Webhook.Prefix + "'"
		}
		if t := op.Webhook.Timestamp; t.Header != "" && !t.Signed {
			continue // sign signs what it says
		} else if t.Header != "" {
			flags += " --timestamp now --timestamp-header " + t.Header
		}
		fmt.Fprintf(w, "\n  # a webhook, which its sender signs\n")
		fmt.Fprintf(w, "  echo '{\"paid\": true}' > body.json; SECRET=%s sallyport webhook sign --secret-env SECRET --header %s%s --curl %s%s body.json | sh\n",
			sender.Secret, op.Webhook.Header, flags, shown.URL, path)
		return
	}
}

// credentialHeader is the header line that carries key.
func credentialHeader(api *sallyport.API, key string) string {
	for _, p := range api.Places {
		switch {
		case p.Header != "" && p.Scheme != "":
			return p.Header + ": " + p.Scheme + " " + key
		case p.Header != "":
			return p.Header + ": " + key
		}
	}
	return ""
}

// forbidden is an operation that the scope of op does not grant.
func forbidden(api *sallyport.API, op *sallyport.Operation) *sallyport.Operation {
	for _, other := range api.Operations {
		if len(other.Scopes) > 0 && other.Absent == "" && !hasParameter(other.Path) && !grants(other, op.Scopes[0]) {
			return other
		}
	}
	return nil
}

func grants(op *sallyport.Operation, scope string) bool {
	for _, g := range op.Granted {
		if g == scope {
			return true
		}
	}
	return false
}

// smallest is the smallest window of plan, 0 where there is none.
func smallest(api *sallyport.API, plan string) (n uint64) {
	for _, c := range api.AppendCharges(nil, firstRead(api), &sallyport.Credential{Tenant: &sallyport.Tenant{Plan: plan}}) {
		for _, w := range c.Windows {
			if size := w.Size(); n == 0 || size < n {
				n = size
			}
		}
	}
	return n
}

func hasParameter(path string) bool { return strings.Contains(path, "{") }

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

package sallyport

// Source is where what a caller gets under a limit comes from.
type Source uint8

const (
	SourceDefault        Source = iota // the limit's own windows, for all plans
	SourcePlan                         // the tenant's plan
	SourceKeyPlan                      // the credential's own plan
	SourceTenantLimits                 // windows of the tenant's own, to which the limit or the plan leaves it
	SourceTenantOverride               // the tenant's override
	SourceKeyOverride                  // the credential's override
)

var sources = [...]string{
	SourceDefault: "default", SourcePlan: "plan", SourceKeyPlan: "key_plan", SourceTenantLimits: "tenant_limits",
	SourceTenantOverride: "tenant_override", SourceKeyOverride: "key_override",
}

// String returns the source's name in the admin API.
func (s Source) String() string {
	if int(s) >= len(sources) {
		return "unknown"
	}
	return sources[s]
}

// For returns what holds for c under l and where that comes from, and whether
// l counts c's requests for op at all; op nil is any operation.
func (l *Limit) For(c *Credential, op *Operation) (w Windows, from Source, counts bool) {
	w, from = l.windows(c)
	return w, from, (op == nil || l.When.counts(op)) && l.counts(c)
}

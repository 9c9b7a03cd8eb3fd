package sallyport

// Reason says why a decision came out as it did. The list is closed: each
// value is one row of the table below, which is also what metrics and logs
// show. The first word says who can mend it: the caller, the configuration's
// author, or whoever runs the gate.
//
// The zero value is Undecided, which refuses.
type Reason uint8

// The reasons. New ones go before reasonCount; names never change meaning.
const (
	Undecided Reason = iota
	Allowed
	Answered
	Preflight

	CredentialMissing
	CredentialMalformed
	CredentialRepeated
	CredentialConflicting
	CredentialMisplaced
	CredentialUnknown
	CredentialRevoked
	CredentialDisabled
	CredentialExpired
	AddressRefused
	TenantDisabled
	UserDisabled
	TenantForeign
	ScopeMissing
	AccessReadOnly
	CategoryOff
	PathMalformed
	RequestMalformed
	MediaUnacceptable
	MediaUnsupported
	QuotaExhausted
	ConcurrencyExhausted
	SignatureMissing
	SignatureMalformed
	SignatureWrong
	SignatureExpired
	SignatureReplayed
	BodyTooLarge

	HostUnlisted
	OperationUnlisted
	SandboxUnlisted
	FeatureAbsent
	StreamUnnamed
	BodyUnsent

	StoreTimeout
	StoreFailed
	IssuerFailed
	CountersFailed
	Overloaded
	Panicked

	reasonCount
)

// Kind is the public face of a refusal: the key under which an API's
// configuration describes the answer (`errors:` in sallyport.yaml). Several
// reasons share one kind where a stranger must not tell them apart.
type Kind uint8

// The kinds. The zero value is KindUnavailable: what is not known is our own
// failure and is answered 503.
const (
	KindUnavailable Kind = iota
	KindMissingCredential
	KindInvalidCredential
	KindExpiredCredential
	KindAddressRefused
	KindInsufficientScope
	KindForbidden
	KindNotFound
	KindNotAcceptable
	KindUnsupportedMedia
	KindRateLimited
	KindTooManyConcurrent
	KindBadRequest
	KindTooLarge
	KindMaintenance
	KindConflict

	kindCount
)

var reasons = [reasonCount]struct {
	name string
	kind Kind
}{
	Undecided: {"gate.undecided", KindUnavailable},
	Allowed:   {"allowed", KindUnavailable},
	Answered:  {"answered", KindUnavailable},
	Preflight: {"preflight", KindUnavailable},

	CredentialMissing:     {"caller.credential.missing", KindMissingCredential},
	CredentialMalformed:   {"caller.credential.malformed", KindInvalidCredential},
	CredentialRepeated:    {"caller.credential.repeated", KindInvalidCredential},
	CredentialConflicting: {"caller.credential.conflicting", KindInvalidCredential},
	CredentialMisplaced:   {"caller.credential.misplaced", KindInvalidCredential},
	CredentialUnknown:     {"caller.credential.unknown", KindInvalidCredential},
	CredentialRevoked:     {"caller.credential.revoked", KindInvalidCredential},
	CredentialDisabled:    {"caller.credential.disabled", KindInvalidCredential},
	CredentialExpired:     {"caller.credential.expired", KindExpiredCredential},
	AddressRefused:        {"caller.address.refused", KindAddressRefused},
	TenantDisabled:        {"caller.tenant.disabled", KindInvalidCredential},
	UserDisabled:          {"caller.user.disabled", KindInvalidCredential},
	TenantForeign:         {"caller.tenant.foreign", KindForbidden},
	ScopeMissing:          {"caller.scope.missing", KindInsufficientScope},
	AccessReadOnly:        {"caller.access.readonly", KindInsufficientScope},
	CategoryOff:           {"caller.category.off", KindForbidden},
	PathMalformed:         {"caller.path.malformed", KindNotFound},
	RequestMalformed:      {"caller.request.malformed", KindBadRequest},
	MediaUnacceptable:     {"caller.media.unacceptable", KindNotAcceptable},
	MediaUnsupported:      {"caller.media.unsupported", KindUnsupportedMedia},
	QuotaExhausted:        {"caller.quota.requests", KindRateLimited},
	ConcurrencyExhausted:  {"caller.quota.concurrency", KindTooManyConcurrent},
	SignatureMissing:      {"caller.signature.missing", KindMissingCredential},
	SignatureMalformed:    {"caller.signature.malformed", KindInvalidCredential},
	SignatureWrong:        {"caller.signature.wrong", KindInvalidCredential},
	SignatureExpired:      {"caller.signature.expired", KindInvalidCredential},
	SignatureReplayed:     {"caller.signature.replayed", KindInvalidCredential},
	BodyTooLarge:          {"caller.body.large", KindInvalidCredential}, // of a webhook: what was cut short proves nothing

	HostUnlisted:      {"config.host.unlisted", KindNotFound},
	OperationUnlisted: {"config.operation.unlisted", KindNotFound},
	SandboxUnlisted:   {"config.sandbox.unlisted", KindNotFound},
	FeatureAbsent:     {"config.feature.absent", KindUnavailable},
	StreamUnnamed:     {"config.sid.missing", KindUnavailable}, // a slot that was held could never be released
	BodyUnsent:        {"config.body.unsent", KindUnavailable}, // the proxy did not show the body that a webhook's signature is about

	StoreTimeout:   {"gate.store.timeout", KindUnavailable},
	StoreFailed:    {"gate.store.failed", KindUnavailable},
	IssuerFailed:   {"gate.issuer.failed", KindUnavailable}, // an outside issuer of tokens
	CountersFailed: {"gate.counters.failed", KindUnavailable},
	Overloaded:     {"gate.overloaded", KindUnavailable}, // more is in flight than may be
	Panicked:       {"gate.panic", KindUnavailable},
}

// String returns the dotted name, for logs, metrics and metadata.
func (r Reason) String() string {
	if r >= reasonCount {
		return reasons[Undecided].name
	}
	return reasons[r].name
}

// Kind returns the public face of r. It is meaningful only for refusals.
func (r Reason) Kind() Kind {
	if r >= reasonCount {
		return KindUnavailable
	}
	return reasons[r].kind
}

// OK reports whether the request goes on to the upstream.
func (r Reason) OK() bool { return r == Allowed }

// Refuses reports whether r turns the caller away.
func (r Reason) Refuses() bool { return r != Allowed && r != Answered && r != Preflight }

// Reasons lists every reason, in order, for metrics and documentation.
func Reasons() []Reason {
	all := make([]Reason, reasonCount)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}

// kinds is the table of what a refusal looks like where the configuration
// says nothing else.
var kinds = [kindCount]struct {
	name, code, message string
	status              int
}{
	KindUnavailable:       {"unavailable", "service_unavailable", "The service is temporarily unavailable. Please retry.", 503},
	KindMissingCredential: {"missing_credential", "unauthorized", "No credential was sent with the request.", 401},
	KindInvalidCredential: {"invalid_credential", "unauthorized", "The credential is invalid or has been revoked.", 401},
	KindExpiredCredential: {"expired_credential", "unauthorized", "The credential has expired.", 401},
	KindAddressRefused:    {"address_refused", "forbidden", "Requests from this address are not allowed.", 403},
	KindInsufficientScope: {"insufficient_scope", "forbidden", "The credential lacks the permission that this operation requires.", 403},
	KindForbidden:         {"forbidden", "forbidden", "The request is not allowed.", 403},
	KindNotFound:          {"not_found", "not_found", "The requested resource was not found.", 404},
	KindNotAcceptable:     {"not_acceptable", "not_acceptable", "The response is only available as JSON.", 406},
	KindUnsupportedMedia:  {"unsupported_media", "unsupported_media_type", "The request body must be JSON.", 415},
	KindRateLimited:       {"rate_limited", "rate_limited", "Too many requests. Retry after ${retry_after} seconds.", 429},
	KindTooManyConcurrent: {"too_many_concurrent", "rate_limited", "Too many requests are in flight. Please retry.", 429},
	KindBadRequest:        {"bad_request", "invalid_request", "The request is invalid.", 400},
	KindTooLarge:          {"too_large", "payload_too_large", "The request body is too large.", 413},
	KindMaintenance:       {"maintenance", "maintenance", "The service is under maintenance. Please retry later.", 503},
	KindConflict:          {"conflict", "conflict", "The request conflicts with another one.", 409},
}

// String returns the key of k in the configuration's `errors:`.
func (k Kind) String() string {
	if k >= kindCount {
		return kinds[KindUnavailable].name
	}
	return kinds[k].name
}

// Unauthenticated reports whether k says that nobody is known to call.
func (k Kind) Unauthenticated() bool {
	return k == KindMissingCredential || k == KindInvalidCredential || k == KindExpiredCredential
}

// Default returns the answer of k where a configuration says nothing else.
func (k Kind) Default() Response {
	if k >= kindCount {
		k = KindUnavailable
	}
	d := kinds[k]
	return Response{Status: d.status, Code: d.code, Message: d.message}
}

// Kinds lists every kind, in order.
func Kinds() []Kind {
	all := make([]Kind, kindCount)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

package sallyport

import "time"

// CredentialFilter selects credentials in a listing. Empty fields match all;
// After is the ID of the last one seen, and Limit is how many come at most.
type CredentialFilter struct {
	API    string
	Tenant string
	State  State
	After  string
	Limit  int
}

// AdminToken is a token for the admin API as the store knows it; the secret
// itself is not in it.
type AdminToken struct {
	ID        string
	Name      string
	Role      string
	Tenant    string // whose; "" is an administrator of all
	CreatedAt time.Time
}

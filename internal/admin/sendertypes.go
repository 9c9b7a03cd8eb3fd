package admin

import "time"

// Sender is who signs webhooks to an API, as it is shown, without its secrets.
type Sender struct {
	API       string         `json:"api"`
	Tenant    string         `json:"tenant" doc:"Whose webhooks it sends: they count as its requests"`
	ID        string         `json:"id" doc:"As the configuration or the path names it"`
	Name      string         `json:"name"`
	State     string         `json:"state" enum:"active,disabled,revoked"`
	Secrets   []SenderSecret `json:"secrets" nullable:"false" doc:"Those that it may sign with, the newest first"`
	CreatedAt time.Time      `json:"created_at"`
}

// SenderSecret is a secret that a sender may sign with: when it ends, and no more.
type SenderSecret struct {
	ExpiresAt *time.Time `json:"expires_at" doc:"null: never"`
}

// CreatedSender is a new sender: the one answer that holds a secret that was made
// for it.
type CreatedSender struct {
	Secret Shown `json:"secret,omitempty" doc:"The whole secret. It is shown this once; absent where it was given"`
	Sender
}

// NewSender asks for a sender.
type NewSender struct {
	API    string `json:"api" minLength:"1" doc:"One of the configuration's APIs that have webhooks"`
	Tenant string `json:"tenant" minLength:"1" maxLength:"128"`
	ID     string `json:"id" minLength:"1" maxLength:"128" doc:"The sender that an operation of the configuration names, or what stands in the path in its place: letters, digits and ._:@-, beginning with a letter or digit"`
	Name   string `json:"name,omitempty" maxLength:"200"`
	Secret Shown  `json:"secret,omitempty" doc:"What the sender signs with, 16 to 1024 bytes; default: one is made"`
}

// SenderChange asks for changes; what is not sent stays.
type SenderChange struct {
	Name  Optional[string] `json:"name,omitzero" maxLength:"200"`
	State Optional[string] `json:"state,omitzero" doc:"active or disabled"`
}

// SenderList is one page of senders, by id.
type SenderList struct {
	Senders []Sender `json:"senders" nullable:"false"`
	Next    string   `json:"next,omitempty" doc:"Send it as after for the next page; absent on the last"`
}

// RollSender asks for a new secret.
type RollSender struct {
	Grace  string `json:"grace,omitempty" doc:"How long the secrets before stay good, such as 24h, which is the default; 0 ends them at once"`
	Secret Shown  `json:"secret,omitempty" doc:"What the sender signs with from now on, 16 to 1024 bytes; default: one is made"`
}

// RolledSender is a sender with its new secret: the one answer that holds it, where
// it was made.
type RolledSender struct {
	Secret    Shown     `json:"secret,omitempty" doc:"The whole secret. It is shown this once; absent where it was given"`
	OldEndsAt time.Time `json:"old_ends_at" doc:"When the secrets before end, at the latest"`
	Sender
}

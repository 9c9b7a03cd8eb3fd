package seal

// Sealer seals under the key of the current pepper, and opens what that or an older
// one has sealed. Its keys lie where reflection does not reach.
type Sealer struct{ keys []func() Key }

// peppered derives keys from a pepper, and knows the peppers before it.
type peppered[H any] interface {
	Version() int
	Derive(purpose string) [32]byte
	Older() []H
}

// Under returns the Sealer of h's pepper and those before it.
func Under[H peppered[H]](h H) *Sealer {
	s := new(Sealer)
	for _, one := range append([]H{h}, h.Older()...) {
		key := Key(one.Derive(Purpose))
		s.keys = append(s.keys, func() Key { return key })
	}
	return s
}

// Seal returns secret, encrypted under the current key and bound to name.
func (s *Sealer) Seal(name string, secret []byte) []byte { return Seal(s.keys[0](), name, secret) }

// Open is the inverse of Seal, of now or before. It tries every key: the versions
// of peppers are numbers that an operator gives, and may give again. Its error is
// ErrSealed.
func (s *Sealer) Open(name string, sealed []byte) ([]byte, error) {
	for _, key := range s.keys {
		if secret, err := Open(key(), name, sealed); err == nil {
			return secret, nil
		}
	}
	return nil, ErrSealed
}

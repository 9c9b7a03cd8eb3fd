package issuer

import (
	"errors"
	"fmt"
	"time"
)

// What tokens are refused with. The text behind it is for logs: it says which
// rule was broken and quotes nothing of the token.
var (
	// ErrBad says that the token is not good, or not for us.
	ErrBad = errors.New("the token is not good")
	// ErrForeign says that the token names another issuer, or none.
	ErrForeign = errors.New("the token is not of this issuer")
	// ErrExpired says that the issuer signed the token and that it has expired:
	// errors.As finds an *Expired. Who only invents an expiry gets ErrBad.
	ErrExpired = errors.New("the token has expired")
	// ErrUnmapped says that the token is good, and that its claims do not say what
	// is needed here, or in a shape that cannot be passed on.
	ErrUnmapped = errors.New("the claims do not fit")
	// ErrUnreachable says that the issuer could not be asked, so that nothing is
	// known of the token.
	ErrUnreachable = errors.New("the issuer cannot be asked")
)

// Expired is an ErrExpired that says of what the issuer signed, and when that ended.
type Expired struct{ Claims Claims }

func (e *Expired) Error() string {
	return ErrExpired.Error() + " at " + e.Claims.Expires.UTC().Format(time.RFC3339)
}

func (e *Expired) Unwrap() error { return ErrExpired }

func bad(why string) error { return fmt.Errorf("%w: %s", ErrBad, why) }

func unmapped(why string) error { return fmt.Errorf("%w: %s", ErrUnmapped, why) }

func unreachable(err error) error { return fmt.Errorf("%w: %w", ErrUnreachable, err) }

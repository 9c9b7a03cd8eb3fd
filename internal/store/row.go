package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport"
)

// List sizes: what a caller gets that asks for none, and at most.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// Limit returns how many rows a listing that asks for n may hold.
func Limit(n int) int {
	if n <= 0 {
		return defaultLimit
	}
	return min(n, maxLimit)
}

// Time is a point in time as it is kept: Unix milliseconds, or null for the
// zero time. Null and not 0, or an expiry in 1970 would mean never.
type Time = sql.Null[int64]

// NewTime returns t as it is kept.
func NewTime(t time.Time) Time {
	if t.IsZero() {
		return Time{}
	}
	return Time{V: t.UnixMilli(), Valid: true}
}

// TimeOf is the inverse of NewTime, in UTC.
func TimeOf(t Time) time.Time {
	if !t.Valid {
		return time.Time{}
	}
	return time.UnixMilli(t.V).UTC()
}

// earlier returns the earlier of two ends, where null is never.
func earlier(a, b Time) Time {
	if !a.Valid || b.Valid && b.V < a.V {
		return b
	}
	return a
}

// CheckText refuses what not every store keeps as it is: broken UTF-8 and NUL.
func CheckText(texts ...string) error {
	for _, s := range texts {
		if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
			return errors.New("a text of it holds broken UTF-8 or a NUL")
		}
	}
	return nil
}

// encode gives equal values equal texts: encoding/json sorts a map's keys.
func encode(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}

func encodeList[T any](list []T) (string, error) {
	if len(list) == 0 {
		return "[]", nil
	}
	return encode(list)
}

func decodeList[T any](text string) ([]T, error) {
	var list []T
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, nil
	}
	return list, nil
}

// encodeLists keeps lists by name, such as the scopes of roles.
func encodeLists(lists map[string][]string) (string, error) {
	kept := make(map[string][]string, len(lists))
	for name, list := range lists {
		if err := errors.Join(CheckText(name), CheckText(list...)); err != nil {
			return "", err
		}
		kept[name] = append([]string{}, list...) // [] and never null
	}
	return encode(kept)
}

func decodeLists(text string) (map[string][]string, error) {
	lists, err := decodeMap[[]string](text)
	for name, list := range lists {
		if len(list) == 0 {
			lists[name] = nil
		}
	}
	return lists, err
}

func encodeTexts(texts map[string]string) (string, error) {
	if len(texts) == 0 {
		return "{}", nil
	}
	for name, text := range texts {
		if err := CheckText(name, text); err != nil {
			return "", err
		}
	}
	return encode(texts)
}

func decodeMap[T any](text string) (map[string]T, error) {
	var m map[string]T
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return nil, err
	}
	if len(m) == 0 {
		return nil, nil
	}
	return m, nil
}

// sameSet reports whether two kept lists hold the same, whatever their order.
func sameSet(a, b string) (bool, error) {
	if a == b {
		return true, nil
	}
	first, err := decodeList[string](a)
	if err != nil {
		return false, err
	}
	second, err := decodeList[string](b)
	return maps.Equal(setOf(first), setOf(second)), err
}

// setOf returns what is in list, without order and repetition.
func setOf(list []string) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, s := range list {
		set[s] = true
	}
	return set
}

func encodeState(s sallyport.State) (string, error) {
	if _, ok := sallyport.ParseState(s.String()); !ok {
		return "", errors.New("has no state; use active, disabled or revoked")
	}
	return s.String(), nil
}

func decodeState(text string) (sallyport.State, error) {
	s, ok := sallyport.ParseState(text)
	if !ok {
		return s, fmt.Errorf("state %q is not one of active, disabled, revoked", text)
	}
	return s, nil
}

// decodeAccess refuses what it does not know: to read it as "no restriction"
// would widen a credential.
func decodeAccess(text string) (sallyport.Access, error) {
	for _, a := range []sallyport.Access{sallyport.AccessUnset, sallyport.Read, sallyport.Write} {
		if text == a.String() {
			return a, nil
		}
	}
	return 0, fmt.Errorf("access %q is not one of read, write or empty", text)
}

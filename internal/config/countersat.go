package config

import "errors"

// CountersAt is what `counters: URL` means in a file: memory, or one Redis.
func CountersAt(url string) (Counters, error) {
	if url == "memory" {
		return Counters{Memory: true}, nil
	}
	a, problem, hint := readAddress(url, modeSingle)
	if problem != "" {
		return Counters{}, errors.New("counters " + problem + "; " + hint) // without the URL, which may hold a password
	}
	return Counters{
		Redis: List{a.place}, Mode: modeSingle, Username: a.username, Database: a.database, TLS: TLS{On: a.scheme == "rediss"},
		Prefix: usualPrefix, Timeout: usualTimeout, Share: 100,
	}, nil
}

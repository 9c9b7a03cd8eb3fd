package anomaly

import (
	"sync"

	"github.com/sallyport/sallyport"
)

// shard is what is remembered of some of the users. Its methods are for whoever
// holds mu.
type shard struct {
	mu             sync.Mutex
	known          map[key]*entry // guarded by mu, as is all below
	newest, idlest *entry         // used last, and not for the longest
	networks       int            // for how many there is memory, in all entries
}

// entry is what is remembered of one user.
type entry struct {
	user
	rules        *sallyport.API // whose rules the tallies are of
	tallies      []tally
	at           int64 // when it was used last, in Unix nanoseconds
	keep         int64 // for how long that counts, in nanoseconds
	newer, older *entry
}

// use returns what is remembered of u, who uses api now; nil where u is what it
// was before a change that began its counts anew.
func (s *shard) use(u user, api *sallyport.API) *entry {
	e := s.known[u.key]
	switch {
	case e == nil:
		e = &entry{user: u}
		s.known[u.key] = e
		s.push(e)
	case u.epoch < e.epoch:
		return nil
	case u.epoch > e.epoch:
		s.networks -= e.size()
		e.user, e.tallies, e.rules = u, nil, nil
	}
	if e != s.newest {
		s.unlink(e)
		s.push(e)
	}
	s.judgeBy(e, api)
	return e
}

// judgeBy makes e's tallies those of api's rules. A rule whose name and measure
// stay keeps what it has counted.
func (s *shard) judgeBy(e *entry, api *sallyport.API) {
	if e.rules == api {
		return
	}
	s.networks -= e.size()
	before := e.tallies
	e.rules, e.keep, e.tallies = api, 0, nil
	for _, rule := range api.Anomalies {
		e.keep = max(e.keep, int64(rule.In))
	}
	if e.of != "" {
		return // what it stands for is counted
	}
	e.tallies = make([]tally, len(api.Anomalies))
	for i, rule := range api.Anomalies {
		e.tallies[i].rule = rule
		for j := range before {
			if was := before[j].rule; was.Name == rule.Name && was.Of == rule.Of {
				e.tallies[i] = before[j].under(rule)
			}
		}
	}
	s.networks += e.size()
}

// size is for how many networks e has memory.
func (e *entry) size() (n int) {
	for i := range e.tallies {
		n += e.tallies[i].networks.size()
	}
	return n
}

// bound forgets those who were not used for the longest while there is too much,
// but not keep.
func (s *shard) bound(keep *entry) {
	for (len(s.known) > maxCredentials/shards || s.networks > maxNetworks/shards) && s.idlest != keep {
		s.remove(s.idlest)
	}
}

// sweep forgets those of whom nothing counts at now.
func (s *shard) sweep(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := s.newest; e != nil; {
		older := e.older
		if now-e.at > e.keep {
			s.remove(e)
		}
		e = older
	}
}

func (s *shard) remove(e *entry) {
	s.unlink(e)
	delete(s.known, e.key)
	s.networks -= e.size()
}

// push makes e, which is in no list, the newest.
func (s *shard) push(e *entry) {
	if e.older = s.newest; e.older == nil {
		s.idlest = e
	} else {
		e.older.newer = e
	}
	s.newest = e
}

func (s *shard) unlink(e *entry) {
	if e.newer == nil {
		s.newest = e.older
	} else {
		e.newer.older = e.older
	}
	if e.older == nil {
		s.idlest = e.newer
	} else {
		e.older.newer = e.newer
	}
	e.newer, e.older = nil, nil
}
